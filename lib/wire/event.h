/* SPDX-License-Identifier: MIT */
#ifndef WIRE_EVENT_H
#define WIRE_EVENT_H

/** What the data layer needs of the encoder beside sse_event_encode. */

#include <sse/event.h>

/** Where the id stands in the `encoded_size` bytes of an event that was encoded with one. */
size_t sse_event_id_offset(const struct sse_event *event, size_t encoded_size);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TEST_EVENT_REFERENCE_H
#define TEST_EVENT_REFERENCE_H

/*
 * A second encoder, written byte by byte from <sse/event.h>. It is slow and simple, and shares no code with the
 * library.
 */

#include "event_source_parser.h"

#include <sse/event.h>

/* Returns the result of sse_event_encode for the contents of an event, or 0. Lengths and the key are not
 * checked. */
int event_reference_error(const struct sse_event *event);

/* Appends the bytes of a valid event. */
void event_reference_encode(struct event_source_text *wire, const struct sse_event *event);

/* RFC 3629, without surrogates. */
bool event_reference_is_utf8(struct sse_text text);

#endif

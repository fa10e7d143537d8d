/* SPDX-License-Identifier: MIT */
#ifndef WIRE_ID_H
#define WIRE_ID_H

#include <sse/base.h>
#include <stdbool.h>

/*
 * Whether a Last-Event-ID header would carry an event id unchanged: it has no control byte and no DEL, and neither
 * begins nor ends with a space. The empty id is valid. Whether it is UTF-8 is not checked here.
 */
bool sse_id_is_valid(const unsigned char *bytes, size_t length);

/* Whether an id is ASCII without spaces, as most ids are. Such an id is valid, and UTF-8. An absent or empty id is
 * plain too. */
bool sse_id_is_plain(struct sse_text id);

#endif

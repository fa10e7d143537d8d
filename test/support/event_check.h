/* SPDX-License-Identifier: MIT */
#ifndef TEST_EVENT_CHECK_H
#define TEST_EVENT_CHECK_H

/*
 * Compares the encoder with its reference, and with a client that parses the bytes. All events go through one
 * client, one after the other, so that the effect of an event on the next one is tested too.
 */

#include "event_reference.h"

/* If `holds` is false, aborts with a message and the event. */
void event_expect(bool holds, const struct sse_event *event, const char *what);

/* Calls sse_event_encode with buffers of every kind. The bytes must be the reference's, and no other byte may be
 * touched. Each buffer ends where its memory ends. Returns the error of the event, or 0. */
int event_check_bytes(const struct sse_event *event);

/* Checks the bytes of `count` valid events whose texts are all UTF-8. The client receives them in pieces of this
 * size; 0: in one piece. */
void event_check_client(const struct sse_event *events, size_t count, const void *bytes, size_t size,
                        size_t piece);

/* Replaces the client by a new one. */
void event_check_end(void);

#endif

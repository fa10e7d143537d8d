/* SPDX-License-Identifier: MIT */
#ifndef TEST_EVENT_CHECK_H
#define TEST_EVENT_CHECK_H

/*
 * The encoder, judged by its reference and by a client that parses the bytes. All events go through one
 * client, one after the other, so that what one leaves behind for the next is seen too.
 */

#include "event_reference.h"

/* Aborts with a message and the event in which it happened, unless it holds. */
void event_expect(bool holds, const struct sse_event *event, const char *what);

/* sse_event_encode with buffers of every kind: the bytes are the reference's, and no other is touched. The
 * buffers end where their memory does. Returns the error of the event, or 0. */
int event_check_bytes(const struct sse_event *event);

/* These bytes are those of `count` events, of which none has an error and all texts are UTF-8. The client
 * gets them in pieces of this size, 0: in one. */
void event_check_client(const struct sse_event *events, size_t count, const void *bytes, size_t size,
                        size_t piece);

/* Forgets the client. The next one is new. */
void event_check_end(void);

#endif

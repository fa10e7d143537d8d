/* SPDX-License-Identifier: MIT */
#ifndef SSE_MESSAGE_H
#define SSE_MESSAGE_H

/**
 * A message: an event, or several that travel together, encoded once and shared by every queue
 * that holds it. It cannot be changed after it is made.
 */

#include <sse/event.h>
#include <sse/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_message;

/**
 * Encodes `count` events into one message. Between the events of a batch nothing else is ever
 * sent, and overflow takes or leaves the batch as a whole.
 *
 * Ownership: `*message` is a new reference, to be given back with sse_message_unref. The events
 * are borrowed: their memory may be reused at once. `host` may be NULL, and must otherwise
 * outlive the message.
 * Threads: any. Hooks: may call.
 * Errors, with *message untouched: -EINVAL (NULL, count 0 or over UINT_MAX, a host of unknown size), -ENOMEM,
 * and those of sse_event_encode for any event; -EMSGSIZE also if the batch as a whole is over
 * SSE_EVENT_SIZE_MAX, -EINVAL also if an event of a batch has a key.
 */
SSE_API int sse_message_new(struct sse_message **message, const struct sse_event *events, size_t count,
                            const struct sse_host *host);

/**
 * Takes one more reference and returns `message`; NULL gives NULL.
 *
 * Threads: any that holds a reference. Hooks: may call. Errors: none.
 */
SSE_API struct sse_message *sse_message_ref(struct sse_message *message);

/**
 * Gives a reference back; the last one frees the message. NULL is nothing.
 *
 * Threads: any. Hooks: may call. Errors: none.
 */
SSE_API void sse_message_unref(struct sse_message *message);

/**
 * The bytes of the message on the wire, without chunk framing; absent for NULL.
 *
 * Ownership: borrowed from the message. Threads: any that holds a reference. Hooks: may call.
 * Errors: none.
 */
SSE_API struct sse_str sse_message_bytes(const struct sse_message *message);

#ifdef __cplusplus
}
#endif

#endif

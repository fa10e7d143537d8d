/* SPDX-License-Identifier: MIT */
#ifndef SSE_MESSAGE_H
#define SSE_MESSAGE_H

/**
 * A message: one or more encoded events that are written together. It is encoded once, and every queue that it
 * is in shares it. A message never changes.
 */

#include <sse/event.h>
#include <sse/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_message;

/**
 * Encodes `count` events into one message. Nothing else is ever written between the events of one message. A
 * full queue accepts or drops the message as a whole.
 *
 * Ownership: `*message` is a new reference: release it with sse_message_unref. The events are
 * borrowed. `platform` may be NULL; otherwise it must live longer than the message.
 * Threads: any. Callbacks: may call it.
 * Errors, with *message unchanged:
 * - -EINVAL: `message` or `events` is NULL, or the platform is not valid.
 * - -EINVAL: `count` is 0 or above UINT_MAX.
 * - -EINVAL: there are several events, and one has a key.
 * - -ENOMEM.
 * - -EMSGSIZE: all events together are larger than SSE_EVENT_SIZE_MAX.
 * - Every error of sse_event_encode.
 * Example:
 *
 *     const struct sse_event burst[] = {{.data = sse_str("two")}, {.data = sse_str("tokens")}};
 *     struct sse_message *message = NULL;
 *     int error = sse_message_new(&message, burst, 2, NULL);
 *     if (!error)
 *         error = sse_emitter_send_message(emitter, message);
 *     sse_message_unref(message);
 */
SSE_API int sse_message_new(struct sse_message **message, const struct sse_event *events, size_t count,
                            const struct sse_platform *platform);

/**
 * Takes another reference and returns `message`. NULL returns NULL.
 *
 * Threads: any that holds a reference. Callbacks: may call it. Errors: none.
 */
SSE_API struct sse_message *sse_message_ref(struct sse_message *message);

/**
 * Releases a reference. The last one frees the message. NULL is ignored.
 *
 * Threads: any. Callbacks: may call it. Errors: none.
 */
SSE_API void sse_message_unref(struct sse_message *message);

/**
 * Returns the bytes of the message on the wire, without chunk framing. NULL returns an absent text.
 *
 * Ownership: the text points into the message. Threads: any that holds a reference. Callbacks: may
 * call it. Errors: none.
 */
SSE_API struct sse_text sse_message_bytes(const struct sse_message *message);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
#ifndef DATA_QUEUE_KEYS_H
#define DATA_QUEUE_KEYS_H

/**
 * A hash table that finds messages of a long queue by their keys, but no exempt ones. The first search makes it.
 * Each search adds the new messages, and ignores entries whose places are empty. So no other code has to keep it up
 * to date.
 */

#include "data/queue_ring.h"

/** Whether a message has this key. False for NULL. */
static inline bool sse_queue_has_key(const struct sse_message *message, struct sse_text key)
{
    return message && message->key.ptr && message->key.len == key.len &&
           !memcmp(message->key.ptr, key.ptr, key.len);
}

/** Makes the table if there is none. False if there is no memory. */
bool sse_queue_keys_make(struct queue *queue, const struct sse_platform *platform);

/** The index of the first place from `index` on whose message has this key; UINT32_MAX if there is none. */
uint32_t sse_queue_keys_find(struct queue *queue, struct sse_text key, uint32_t index);

/** To be called when the first `count` messages have been moved. */
void sse_queue_keys_add_front(struct queue *queue, uint32_t count);

/** To be called when all messages have been moved. */
void sse_queue_keys_clear(struct queue *queue);

#endif

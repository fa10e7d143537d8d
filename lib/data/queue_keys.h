/* SPDX-License-Identifier: MIT */
#ifndef DATA_QUEUE_KEYS_H
#define DATA_QUEUE_KEYS_H

/**
 * Finds messages of a long queue by their keys, in about constant time: a hash table of places. It is made
 * when it is first asked for. It learns of new messages when it is asked, and of those that are gone by
 * finding their places empty, so that nothing else has to tell it.
 */

#include "data/queue.h"

/** Whether a message has this key. NULL has none. */
static inline bool sse_queue_has_key(const struct sse_message *message, struct sse_text key)
{
    return message && message->key.ptr && message->key.len == key.len &&
           !memcmp(message->key.ptr, key.ptr, key.len);
}

/** Makes the table if there is none. False without memory. */
bool sse_queue_keys_make(struct queue *queue, const struct sse_platform *platform);

/** The first place from `index` on whose message has this key, or a number that no place has. */
uint32_t sse_queue_keys_find(struct queue *queue, struct sse_text key, uint32_t index);

/** The first `count` messages have been moved. */
void sse_queue_keys_add_front(struct queue *queue, uint32_t count);

/** All messages have been moved. */
void sse_queue_keys_clear(struct queue *queue);

#endif

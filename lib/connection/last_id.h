/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_LAST_ID_H
#define CONNECTION_LAST_ID_H

/**
 * The last id of the events that were written whole.
 *
 * - A short id is stored here.
 * - A longer id is stored in a block, which is kept for later ids. It is little larger than SSE_ID_SIZE_MAX.
 * - If there is no memory for a block, a reference to the message with the id is kept. So no id is ever lost.
 */

#include "data/message.h"

#define LAST_ID_SHORT_MAX 15

struct last_id {
    char bytes[LAST_ID_SHORT_MAX]; /* a short id, or the bytes of a pointer */
    unsigned char form;            /* where the id is; 0: there is none */
};

/** Stores the id of a message. If the message is on a stack, call sse_last_id_reserve first. */
void sse_last_id_set(struct last_id *id, struct sse_message *message, const struct sse_platform *platform);

/** Makes room for an id of this size. The id stays what it is. False if there is no memory. */
bool sse_last_id_reserve(struct last_id *id, size_t size, const struct sse_platform *platform);

/** The id; absent if there is none. It is valid until the next call of sse_last_id_set or sse_last_id_reserve. */
struct sse_text sse_last_id_get(const struct last_id *id);

void sse_last_id_free(struct last_id *id, const struct sse_platform *platform);

#endif

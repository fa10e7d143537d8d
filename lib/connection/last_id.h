/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_LAST_ID_H
#define CONNECTION_LAST_ID_H

/**
 * The id of the last event that was written whole. Nearly every emitter has one, or none, for all of its
 * life: a short id lies here, a longer one in a block that is kept for those to come, of little more than
 * SSE_ID_SIZE_MAX. Only if there is no memory for it, the message is kept that holds the id, until the next one:
 * no id is ever lost.
 */

#include "data/message.h"

#define LAST_ID_SHORT_MAX 15

struct last_id {
    char bytes[LAST_ID_SHORT_MAX]; /* a short id, or the bytes of a pointer */
    unsigned char form;            /* which of them; 0: there is none */
};

/** Takes the id of a message. One on a stack needs what sse_last_id_reserve makes room for. */
void sse_last_id_set(struct last_id *id, struct sse_message *message, const struct sse_platform *platform);

/** Makes room for an id of this size. False if there is none; the id stays what it was. */
bool sse_last_id_reserve(struct last_id *id, size_t size, const struct sse_platform *platform);

/** Absent if there is none; valid until the next is set or room made for it. */
struct sse_text sse_last_id_get(const struct last_id *id);

void sse_last_id_free(struct last_id *id, const struct sse_platform *platform);

#endif

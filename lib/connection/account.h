/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_ACCOUNT_H
#define CONNECTION_ACCOUNT_H

/** Counts for the registry of an emitter. Lock held. */

#include "connection/emitter.h"

/** Tells the tally how many bytes are queued now. `tried`: their owner has tried to write them. `account` may be
 *  NULL. */
void sse_emitter_account(struct sse_emitter *emitter, bool tried, struct turn_account *account);
void sse_emitter_count_dropped(struct sse_emitter *emitter, uint64_t events);
/** Bytes were written; with them `message` was written whole, or no message if it is NULL. `live`: it was no
 *  replay. */
void sse_emitter_count_written(struct sse_emitter *emitter, const struct sse_message *message, size_t bytes,
                               bool live, uint64_t now, struct turn_account *account);

#endif

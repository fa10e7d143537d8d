/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_REPLAY_H
#define FANOUT_REPLAY_H

/** The messages that a client which comes back is to be sent, in the order of publication. */

#include "fanout/registry.h"

struct replay {
    struct sse_message **messages; /* a reference each */
    size_t count;
    size_t capacity;
};

/** Appends what the topics, and the broadcasts if the emitter is no member yet, hold after `from`.
 *  Topics that it has already are passed over. False without memory. The registry's lock held. */
bool sse_replay_collect(struct replay *replay, struct sse_registry *registry, struct sse_emitter *emitter,
                        const struct sse_str *topics, size_t count, uint64_t from);

/** Whether everything is held that a client of these topics has missed since the event with this id, and
 *  the place after which it is to go on. `lost` is what sse_replay_last_lost says. Lock held. */
bool sse_replay_find(const struct sse_registry *registry, const struct sse_str *topics, size_t count,
                     struct sse_str id, uint64_t lost, uint64_t *sequence);

/** The highest sequence that these topics and the broadcasts have lost. Lock held. */
uint64_t sse_replay_last_lost(const struct sse_registry *registry, const struct sse_str *topics,
                              size_t count);

/** Appends a message. False without memory. */
bool sse_replay_append(struct replay *replay, struct sse_message *message, const struct sse_host *host);

void sse_replay_free(struct replay *replay, const struct sse_host *host);

#endif

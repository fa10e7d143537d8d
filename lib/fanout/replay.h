/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_REPLAY_H
#define FANOUT_REPLAY_H

/** What a client that comes back has missed, in the order of publication. The registry's lock is held from
 *  sse_replay_begin until sse_replay_end. */

#include "fanout/registry.h"

/** What a Last-Event-ID means. */
struct replay_place {
    bool known;    /* it names a place */
    bool gap;      /* events after it are lost, or it is not known */
    uint64_t last; /* the sequence that the client has had last; if that is not known, the present one */
    uint64_t lost; /* the highest sequence that the topics asked for have lost */
};

/** Whether a client can have had this id from a server at all. Longer texts are not looked up. */
bool sse_replay_may_be_id(struct sse_text id);

/** Finds the place of an id in the topics named and in what was published to everyone. */
struct replay_place sse_replay_find(const struct sse_registry *registry, const struct sse_text *topics,
                                    size_t count, struct sse_text id, uint64_t now);

struct replay_source;

/** The histories of several topics on their way through a merge. */
struct replay {
    const struct sse_platform *platform;
    struct replay_source *sources; /* a heap: the next event first */
    size_t count;
    size_t messages; /* that are left */
};

/** What to replay. */
struct replay_request {
    const struct sse_registry *registry;
    const struct sse_emitter *emitter;
    uint32_t first; /* of its subscriptions: this one and later ones */
    bool everyone;  /* and what was published to everyone */
    uint64_t after; /* the events after this sequence */
    uint64_t now;
};

/** False without memory. */
bool sse_replay_begin(struct replay *replay, const struct replay_request *request);

/** The next entry, or NULL. */
const struct history_entry *sse_replay_first(const struct replay *replay);
void sse_replay_advance(struct replay *replay);

void sse_replay_end(struct replay *replay);

#endif

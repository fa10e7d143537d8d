/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_REPLAY_H
#define FANOUT_REPLAY_H

/** Finds what a client that reconnects has missed, in the order of publication. The registry's lock is held from
 *  sse_replay_begin to sse_replay_end. */

#include "fanout/registry.h"

/** What a Last-Event-ID means. */
struct replay_place {
    bool known;    /* the id names a place */
    bool gap;      /* events after it are lost, or it is not known */
    uint64_t last; /* the place of the client's last event; if it is not known, that of the newest event */
    uint64_t lost; /* the highest place of an event that is asked for and lost */
};

/** Whether an event can have this id. Other ids are not searched. */
bool sse_replay_may_be_id(struct sse_text id);

struct replay_source;

/** A merge of the histories of several topics. */
struct replay {
    const struct sse_platform *platform;
    struct replay_source *sources; /* a heap: the source with the next event is first */
    size_t count;
    size_t messages; /* how many are left to replay */
};

/** What to replay: the events of new subscriptions, because the emitter has had those of its other topics. */
struct replay_request {
    const struct sse_registry *registry;
    const struct sse_emitter *emitter;
    uint32_t first; /* the position of the first of its new subscriptions */
    bool everyone;  /* replay the events to everyone too */
    uint64_t after; /* replay the events after this place */
    uint64_t now;
};

/** Finds the place of an id in the topics named, to which the emitter is subscribed, and among the events to
 *  everyone. `after` is not read. */
struct replay_place sse_replay_find(const struct replay_request *request, const struct sse_text *topics,
                                    size_t count, struct sse_text id);

/** False if there is no memory. */
bool sse_replay_begin(struct replay *replay, const struct replay_request *request);

/** The next entry, or NULL. */
const struct history_entry *sse_replay_first(const struct replay *replay);
void sse_replay_advance(struct replay *replay);

void sse_replay_end(struct replay *replay);

#endif

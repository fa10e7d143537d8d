/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_JOINING_H
#define FANOUT_JOINING_H

/** The part of sse_emitter_new and sse_registry_subscribe that runs under the registry's lock. In one step it
 *  subscribes to the topics and queues the replay, so that live events follow. All of it happens, or nothing. */

#include "fanout/registry.h"

struct joining {
    struct sse_registry *registry;
    struct sse_emitter *emitter;
    bool is_new; /* the emitter becomes a member */
    bool paused; /* the emitter is new and begins paused, so the server may fill a gap */
    const struct sse_text *topics;
    size_t count;
    struct sse_text last_event_id;
    uint64_t now;

    /* The result. */
    struct sse_replay replay;
    struct mark_chain chain; /* has the evicted emitters; the caller must finish it after success */
};

/** Checks the topics and the id of a request: 0, -EINVAL, or -EBADMSG. */
int sse_joining_check(const struct sse_text *topics, size_t count, struct sse_text last_event_id);

/** 0, or an error with nothing changed. No lock held. */
int sse_joining_run(struct joining *joining);

#endif

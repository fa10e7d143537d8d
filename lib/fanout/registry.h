/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_REGISTRY_H
#define FANOUT_REGISTRY_H

/**
 * The members of a registry, for the files of this layer.
 *
 * Locks. `lock` is taken before the lock of any emitter, never after. It is not held while an output, a callback,
 * on_wake or a visitor runs.
 *
 * References. A registry has none to its emitters. An emitter leaves the arrays before it has finished, so every
 * emitter that is found under the lock is valid until the lock is released. Each emitter has a reference to its
 * registry until its owner is done with it.
 */

#include "base/process.h"
#include "fanout/archive.h"
#include "fanout/topics.h"

#include <errno.h>
#include <sse/registry.h>
#include <stdatomic.h>

/** Statistics that the lock guards. The others are in the group's tally. */
struct registry_counts {
    uint64_t published;
    uint64_t queued;
    uint64_t added;
    uint64_t refused;
    uint64_t replays;
    uint64_t replayed;
    uint64_t gaps;
    uint64_t ended_by[SSE_REASON_COUNT_MAX];
};

struct shutdown {
    bool begun;
    uint64_t completed;
    uint64_t cut;
    uint64_t bytes_left;
};

struct sse_registry {
    struct emitter_group group; /* first: a group is cast back to its registry */

    /* Every publish or turn changes these members and the tally before them. They are side by side, so that threads
     * on two cores compete for as few cache lines as possible. Members that are only read are elsewhere. */
    pthread_mutex_t lock;
    atomic_uint refs; /* the program's, one for each emitter whose owner is not done, and those of turns */
    struct registry_counts counts;
    char newest[SSE_REPLAY_ID_SIZE]; /* the id of the newest event */

    const struct sse_platform *platform;
    unsigned process; /* fixed */
    pthread_cond_t none_remain;
    size_t remaining; /* emitters whose owner is not done */
    struct array members;
    uint32_t count;          /* members; the oldest is at position 0 */
    uint32_t smallest_queue; /* in bytes; no member that is open has a smaller one */
    struct topics topics;
    struct topic *everyone; /* the history of events to everyone; it has no subscribers */
    struct archive archive;

    size_t emitters_max;
    size_t topic_emitters_max;
    enum sse_admission admission;
    struct shutdown shutdown;

    char *gap_type; /* NULL: no event reports a gap */
    size_t gap_type_size;
};

static inline struct sse_registry *sse_registry_of(struct emitter_group *group)
{
    return (struct sse_registry *)(void *)group;
}

/** The first step of every public call: 0, -EINVAL for NULL, -EPERM in a forked child. */
static inline int sse_registry_check(const struct sse_registry *registry)
{
    if (!registry)
        return -EINVAL;
    return process_is_current(registry->process) ? 0 : -EPERM;
}

/** The same for a call with an emitter. */
static inline int sse_registry_check_both(const struct sse_registry *registry,
                                          const struct sse_emitter *emitter)
{
    int error = sse_registry_check(registry);

    return error ? error : sse_emitter_check(emitter);
}

#endif

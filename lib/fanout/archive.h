/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_ARCHIVE_H
#define FANOUT_ARCHIVE_H

/**
 * The histories of all topics together: their limits, and one sequence in which every event has a place. An id
 * names a place. The registry's lock guards it.
 */

#include "fanout/names.h"
#include "fanout/topics.h"

#include <sse/registry.h>

struct archive {
    const struct sse_platform *platform;
    struct topics *topics;
    struct sse_history_limits limits;
    struct sse_history_limits topic_limits;
    uint64_t age; /* the limit, in nanoseconds; DEADLINE_NEVER if there is none */
    size_t events;
    size_t bytes;
    struct heap by_size; /* the topic with the most bytes first */
    struct heap by_age;  /* the topic with the oldest entry first */
    struct names names;
    uint64_t sequence; /* of the last event */
    char prefix[SSE_ID_PREFIX_SIZE_MAX];
    size_t prefix_size;
};

/** 0, or -EINVAL for limits or a prefix that are not valid. */
int sse_archive_init(struct archive *archive, const struct sse_registry_options *options,
                     struct topics *topics);
void sse_archive_free(struct archive *archive);

bool sse_archive_is_on(const struct archive *archive);

/** The size of an assigned id. */
size_t sse_archive_id_size(const struct archive *archive);
/** Writes the id of a sequence, sse_archive_id_size bytes. */
void sse_archive_format_id(const struct archive *archive, uint64_t sequence, char *id);

/** Checks an id that a publisher gave: 0, or -EINVAL if it looks like an assigned one, because it would name the
 *  place of another event. */
int sse_archive_check_id(const struct archive *archive, struct sse_text id);

/** Finds the place of an assigned id, even if its event is no longer retained. False if this registry has not
 *  assigned the id. */
bool sse_archive_find_assigned(const struct archive *archive, struct sse_text id, uint64_t *sequence);

/** Retains a message of a topic, which gets the next place in the sequence, and drops events that are over the
 *  limits. `assigned`: sets its id to that of the place. The topic may be freed. 0, or -ENOMEM with nothing
 *  changed. */
int sse_archive_retain(struct archive *archive, struct topic *topic, struct sse_message *message,
                       bool assigned, uint64_t now);

/** The highest place in the sequence of an event of the topic that can no longer be replayed. */
uint64_t sse_archive_lost(const struct archive *archive, const struct topic *topic, uint64_t now);

/** Drops events that are too old. It drops a limited number, so that no thread waits for the lock for long. */
void sse_archive_expire(struct archive *archive, uint64_t now);

#endif

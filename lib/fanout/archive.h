/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_ARCHIVE_H
#define FANOUT_ARCHIVE_H

/**
 * The histories of all topics together: their limits, the sequence that orders them, and the ids by
 * which clients name a place in it. No locks: the registry's.
 */

#include "fanout/names.h"
#include "fanout/topics.h"

#include <sse/registry.h>

struct archive {
    const struct sse_platform *platform;
    struct topics *topics;
    struct sse_history_limits limits;
    struct sse_history_limits topic_limits;
    uint64_t age; /* nanoseconds; DEADLINE_NEVER for none */
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

/** Whether a publisher may give this id: 0, or -EINVAL for one that looks assigned, because it would name another
 *  place. */
int sse_archive_check_id(const struct archive *archive, struct sse_text id);

/** The place of an assigned id, retained or not. False if it is none of this registry's. */
bool sse_archive_find_assigned(const struct archive *archive, struct sse_text id, uint64_t *sequence);

/** Retains a message of a topic, which gets the next sequence, and forgets what is over the limits.
 *  `assigned`: its id becomes that of the sequence. -ENOMEM leaves all as it was. The topic may be freed. */
int sse_archive_retain(struct archive *archive, struct topic *topic, struct sse_message *message,
                       bool assigned, uint64_t now);

/** The highest sequence that was published to a topic and is not replayed any more. */
uint64_t sse_archive_lost(const struct archive *archive, const struct topic *topic, uint64_t now);

/** Forgets events that are too old: so many at a time that nobody waits for long. */
void sse_archive_expire(struct archive *archive, uint64_t now);

#endif

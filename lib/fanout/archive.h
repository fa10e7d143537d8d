/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_ARCHIVE_H
#define FANOUT_ARCHIVE_H

/**
 * The histories of all topics together: their bounds, the sequence that orders them, and the ids by
 * which clients name a place in it. No locks: the registry's.
 */

#include "fanout/names.h"
#include "fanout/topics.h"

#include <sse/registry.h>

struct archive {
    const struct sse_host *host;
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
    char epoch[SSE_EPOCH_SIZE_MAX];
    size_t epoch_size;
};

/** 0, or -EINVAL for limits or an epoch that cannot be. */
int sse_archive_init(struct archive *archive, const struct sse_registry_options *options,
                     struct topics *topics);
void sse_archive_free(struct archive *archive);

bool sse_archive_is_on(const struct archive *archive);

/** The size of an assigned id. */
size_t sse_archive_id_size(const struct archive *archive);
/** Writes the id of a sequence, archive_id_size bytes. */
void sse_archive_format_id(const struct archive *archive, uint64_t sequence, char *id);

/** Whether a publisher may give this id: one that looks assigned would be taken for another place. */
bool sse_archive_may_be_given(const struct archive *archive, struct sse_str id);

/** The place of an id that was assigned, held or not. False if it is none of this registry's. */
bool sse_archive_find_assigned(const struct archive *archive, struct sse_str id, uint64_t *sequence);

/** Keeps a message of a topic, which gets the next sequence, and lets go of what is over the bounds.
 *  `assigned`: its id is patched to be that of the sequence. -ENOMEM leaves all as it was. */
int sse_archive_keep(struct archive *archive, struct topic *topic, struct sse_message *message, bool assigned,
                     uint64_t now);

/** Whether events of this topic after `sequence` are no longer held; NULL: a topic that is not there. */
bool sse_archive_has_lost(const struct archive *archive, const struct topic *topic, uint64_t sequence);

/** Lets go of what is too old. */
void sse_archive_expire(struct archive *archive, uint64_t now);

/** When archive_expire next has something to do. */
uint64_t sse_archive_deadline(const struct archive *archive);

#endif

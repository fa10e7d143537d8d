/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ENTRY_H
#define REDIS_ENTRY_H

/**
 * An entry of the stream: an event, its topic and its place. Its fields are `mark`, `topic`, `type` and `data`.
 *
 * If a node notices that Redis has lost events, it adds an entry with the fields `mark` and `gap`, the id of the
 * last lost event. The entry is an event of the type `gap` for every client of every node, and also for clients
 * that connect later.
 */

#include "place.h"

#include <hiredis/hiredis.h>
#include <sse/event.h>

/** Do not copy it: texts of the event point into it. */
struct entry {
    struct place place;
    char id[PLACE_SIZE];
    char gap[PLACE_SIZE + 1]; /**< the data of a gap */
    bool is_gap;              /**< true: it has no topic */
    struct sse_text topic;
    struct sse_event event;
    int error; /**< 0: it is an event. -ENOENT: it has neither topic nor gap. Otherwise an error of entry_check */
};

/** The largest event, in bytes on the wire without its id. */
#define ENTRY_EVENT_MAX 65536

/** Checks an event and its topic. Errors: -EINVAL, -EILSEQ, -EMSGSIZE and others of sse_event_encode. */
int entry_check(struct sse_text topic, const struct sse_event *event);

/** Reads one element of a reply to XRANGE or XREAD. Topic, type and data point into the reply. Returns false if the
 *  element is not an entry. */
bool entry_read(const redisReply *reply, struct entry *entry);

#endif

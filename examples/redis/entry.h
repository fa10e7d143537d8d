/* SPDX-License-Identifier: MIT */
#ifndef REDIS_ENTRY_H
#define REDIS_ENTRY_H

/** An entry of the stream: an event, the topic that it belongs to, and its place. */

#include "place.h"

#include <hiredis/hiredis.h>
#include <sse/event.h>

struct entry {
    struct place place;
    struct sse_str topic;
    struct sse_event event;
    int error; /**< 0: it is an event. -ENOENT: somebody else's, without a topic. Else that of entry_check */
};

/** The largest event, as it is on the wire, without its id. */
#define ENTRY_EVENT_MAX 65536

/** Whether that can be an event of this topic: 0, or -EINVAL, -EILSEQ, -EMSGSIZE and other errors of
 *  sse_event_encode. */
int entry_check(struct sse_str topic, const struct sse_event *event);

/** Reads one element of a reply to XRANGE or XREAD; the texts are the reply's. False if it is no entry. */
bool entry_read(const redisReply *reply, struct entry *entry);

#endif

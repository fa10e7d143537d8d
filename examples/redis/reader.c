/* SPDX-License-Identifier: MIT */
#include "bridge.h"

#include "entry.h"
#include "store.h"

#include <errno.h>
#include <stdio.h>

/* In this file, false means: not now. Nothing is lost, because the next attempt reads the same entries. */

static bool publish_entry(struct bridge *bridge, const redisReply *reply)
{
    struct entry entry;

    if (!entry_read(reply, &entry))
        return false;
    if (!entry.error && sse_registry_publish(bridge->registry, entry.topic, &entry.event, NULL) < 0)
        return false;
    if (entry.error && entry.error != -ENOENT)
        fprintf(stderr, "the entry %s is no event: %s\n", entry.event.id.ptr, strerror(-entry.error));
    progress_note(&bridge->progress, entry.place, !entry.error);
    return true;
}

/* Tells every client that the entries between `last` and `next` are lost. */
static bool publish_gap(struct bridge *bridge, const char *last, const struct entry *next)
{
    const struct place before = place_before(next->place);
    char id[PLACE_SIZE], data[2 * PLACE_SIZE];
    struct sse_event gap = {.type = sse_str("gap"), .id = sse_str(place_format(before, id))};

    fprintf(stderr, "reader: entries after %s were trimmed before they were read\n", last);
    snprintf(data, sizeof(data), "%s\n%s", last, next->event.id.ptr);
    gap.data = sse_str(data);
    if (sse_registry_publish(bridge->registry, sse_str(NULL), &gap, NULL) < 0)
        return false;
    atomic_fetch_add(&bridge->told, 1);
    progress_note(&bridge->progress, before, true);
    return true;
}

/* Redis trims the oldest entries first, so no later entry is gone while the last one that was read is there.
 */
static bool check_for_gap(struct bridge *bridge, const redisReply *reply)
{
    const struct place read = progress_read(&bridge->progress);
    char last[PLACE_SIZE];
    struct entry next;
    redisReply *found;
    bool answered, complete;

    if (!entry_read(reply, &next))
        return false;
    found = redis_command(&bridge->reader, "XRANGE %s %s %s", bridge->stream, place_format(read, last), last);
    answered = found != NULL;
    complete = answered && (found->elements || place_compare(read, place_before(next.place)) >= 0);
    freeReplyObject(found);
    return complete || (answered && publish_gap(bridge, last, &next));
}

/* The reply is nil after a while without entries, otherwise [[stream, [entry, ...]]]. */
static bool read_more(struct bridge *bridge)
{
    char after[PLACE_SIZE];
    redisReply *reply = redis_command(&bridge->reader, "XREAD COUNT 256 BLOCK 500 STREAMS %s %s",
                                      bridge->stream, place_format(progress_read(&bridge->progress), after));
    const redisReply *entries = reply && reply->elements ? reply->element[0]->element[1] : NULL;
    bool published = reply && (!entries || !entries->elements || check_for_gap(bridge, entries->element[0]));

    for (size_t i = 0; entries && published && i < entries->elements; i++)
        published = publish_entry(bridge, entries->element[i]);
    freeReplyObject(reply);
    return published;
}

/* What is in the stream already is not published. bridge.c gives it to clients who ask for it. */
static bool begin(struct bridge *bridge)
{
    const struct store store = {.redis = &bridge->reader, .stream = bridge->stream};
    struct place end;

    if (!store_end(&store, &end))
        return false;
    progress_begin(&bridge->progress, end);
    return true;
}

static void *read_all(void *user)
{
    struct bridge *bridge = user;

    while (!atomic_load(&bridge->stopping)) {
        if (!(progress_has_begun(&bridge->progress) ? read_more(bridge) : begin(bridge)))
            redis_pause(&bridge->reader);
    }
    return NULL;
}

void bridge_open(struct bridge *bridge, const char *host, int port, const char *stream)
{
    *bridge = (struct bridge){.stream = stream};
    redis_open(&bridge->reader, "reader", host, port);
    redis_open(&bridge->commands, "commands", host, port);
    progress_open(&bridge->progress);
}

int bridge_start(struct bridge *bridge, struct sse_registry *registry)
{
    bridge->registry = registry;
    return -pthread_create(&bridge->thread, NULL, read_all, bridge);
}

void bridge_stop(struct bridge *bridge)
{
    atomic_store(&bridge->stopping, true);
    redis_stop(&bridge->reader);
    redis_stop(&bridge->commands);
    pthread_join(bridge->thread, NULL);
}

void bridge_close(struct bridge *bridge)
{
    redis_close(&bridge->reader);
    redis_close(&bridge->commands);
    progress_close(&bridge->progress);
}

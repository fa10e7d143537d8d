/* SPDX-License-Identifier: MIT */
#include "bridge.h"

#include "entry.h"
#include "store.h"

#include <errno.h>
#include <stdio.h>

/* In this file, false means: not possible now. Nothing is lost, because the next attempt reads the same entries. */

/** What must be done with entries that were read. */
enum verdict { VERDICT_NOT_NOW, VERDICT_PUBLISH, VERDICT_READ_AGAIN };

static bool publish(struct bridge *bridge, struct sse_text topic, const struct sse_event *event, int *error)
{
    struct sse_registry *registry = current_registry(&bridge->current);

    *error = sse_registry_publish(registry, topic, event, NULL);
    sse_registry_unref(registry);
    return *error != -ENOMEM;
}

/* Nodes publish only what entry_check accepts, but other programs may add other entries. */
static bool publish_entry(struct bridge *bridge, const redisReply *reply)
{
    struct entry entry;

    if (!entry_read(reply, &entry))
        return false;
    if (!entry.error && !publish(bridge, entry.topic, &entry.event, &entry.error))
        return false;
    if (entry.error && entry.error != -ENOENT)
        fprintf(stderr, "the entry %s is not an event and was skipped: %s\n", entry.id, strerror(-entry.error));
    progress_note(&bridge->current.progress, entry.place, !entry.error);
    if (entry.is_gap)
        atomic_fetch_add(&bridge->told, 1);
    return true;
}

/* Notifies every client that the entries between `read` and `next` are lost. */
static bool publish_gap(struct bridge *bridge, struct place read, const redisReply *next_reply)
{
    char last[PLACE_SIZE], id[PLACE_SIZE], data[2 * PLACE_SIZE];
    struct sse_event gap = {.type = sse_str("gap")};
    struct entry next;
    struct place before;
    int error;

    if (!entry_read(next_reply, &next))
        return false;
    before = place_before(next.place);
    fprintf(stderr, "reader: entries after %s were trimmed before they were read; keep more entries (-k)\n",
            place_format(read, last));
    snprintf(data, sizeof(data), "%s\n%s", last, next.id);
    gap.data = sse_str(data);
    gap.id = sse_str(place_format(before, id));
    if (!publish(bridge, sse_str(NULL), &gap, &error))
        return false;
    atomic_fetch_add(&bridge->told, 1);
    progress_note(&bridge->current.progress, before, true);
    return true;
}

/* The stream may contain entries that this node has not read and whose ids are below the last one that it read.
 * Nobody can tell which they are. So the node begins at a new entry, whose id every node will know. */
static bool begin_anew(struct bridge *bridge, const struct store *store, struct place read)
{
    char last[PLACE_SIZE], id[PLACE_SIZE], data[PLACE_SIZE + 1];
    struct sse_event gap = {.type = sse_str("gap")};
    struct place start;

    if (!store_tell_gap(store, read, &start))
        return false;
    store_forget(&bridge->store);
    fprintf(stderr, "reader: Redis has lost the entry %s; clients get a gap event\n", place_format(read, last));
    snprintf(data, sizeof(data), "%s\n", last);
    gap.data = sse_str(data);
    gap.id = sse_str(place_format(start, id));
    if (current_replace(&bridge->current, start, &gap) < 0)
        return false;
    atomic_fetch_add(&bridge->told, 1);
    atomic_fetch_add(&bridge->renewed, 1);
    return true;
}

/* The last entry that was read does not exist any more. */
static enum verdict judge_gap(struct bridge *bridge, struct place read, const redisReply *entries)
{
    const struct store store = {.redis = &bridge->reader, .stream = bridge->stream};
    struct place first;
    bool empty;

    if (!store_first(&store, &first, &empty))
        return VERDICT_NOT_NOW;
    /* The entries are from the lost stream, or were passed already. */
    if (empty || place_compare(first, read) <= 0)
        return begin_anew(bridge, &store, read) ? VERDICT_READ_AGAIN : VERDICT_NOT_NOW;
    /* All entries up to that one were trimmed. */
    if (!entries || !entries->elements)
        return VERDICT_READ_AGAIN;
    return publish_gap(bridge, read, entries->element[0]) ? VERDICT_PUBLISH : VERDICT_NOT_NOW;
}

/* Redis trims the oldest entries first, so while the last entry that was read exists, no later one was trimmed.
 * `entries` were read after it. */
static enum verdict check_for_gap(struct bridge *bridge, const redisReply *entries)
{
    const struct store store = {.redis = &bridge->reader, .stream = bridge->stream};
    const struct place read = progress_read(&bridge->current.progress);
    bool there;

    if (!store_has(&store, read, &there))
        return VERDICT_NOT_NOW;
    return there ? VERDICT_PUBLISH : judge_gap(bridge, read, entries);
}

static bool publish_entries(struct bridge *bridge, const redisReply *entries)
{
    for (size_t i = 0; entries && i < entries->elements; i++) {
        if (!publish_entry(bridge, entries->element[i]))
            return false;
    }
    return true;
}

/* Another Redis server may have taken over. */
static bool confirm_accepted(struct bridge *bridge)
{
    unsigned connection = redis_connection(&bridge->reader);

    if (connection == bridge->confirmed)
        return true;
    if (!store_confirm(&bridge->store))
        return false;
    bridge->confirmed = connection;
    return true;
}

/* The reply is nil if no entry came for a while, otherwise [[stream, [entry, ...]]]. */
static bool read_more(struct bridge *bridge)
{
    char after[PLACE_SIZE];
    redisReply *reply =
        redis_command(&bridge->reader, "XREAD COUNT 256 BLOCK 500 STREAMS %s %s", bridge->stream,
                      place_format_for_redis(progress_read(&bridge->current.progress), after));
    const redisReply *entries = reply && reply->elements ? reply->element[0]->element[1] : NULL;
    enum verdict verdict = reply ? check_for_gap(bridge, entries) : VERDICT_NOT_NOW;
    bool done = verdict == VERDICT_PUBLISH ? publish_entries(bridge, entries) : verdict == VERDICT_READ_AGAIN;

    freeReplyObject(reply);
    return done && confirm_accepted(bridge);
}

/* Entries that are already in the stream are not published. bridge.c sends them to clients who ask for them. */
static bool begin(struct bridge *bridge)
{
    const struct store store = {.redis = &bridge->reader, .stream = bridge->stream};
    struct place end;

    if (!store_end(&store, &end))
        return false;
    progress_begin(&bridge->current.progress, end);
    bridge->confirmed = redis_connection(&bridge->reader);
    return true;
}

static void *read_all(void *user)
{
    struct bridge *bridge = user;

    while (!atomic_load(&bridge->stopping)) {
        if (!(progress_has_begun(&bridge->current.progress) ? read_more(bridge) : begin(bridge)))
            redis_pause(&bridge->reader);
    }
    return NULL;
}

int bridge_open(struct bridge *bridge, const char *host, int port, const char *stream,
                const struct sse_registry_options *options)
{
    *bridge = (struct bridge){.stream = stream};
    redis_open(&bridge->reader, "reader", host, port);
    redis_open(&bridge->commands, "commands", host, port);
    store_open(&bridge->store, &bridge->commands, stream);
    return current_open(&bridge->current, options);
}

int bridge_start(struct bridge *bridge)
{
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
    store_close(&bridge->store);
    current_close(&bridge->current);
}

/* SPDX-License-Identifier: MIT */
#include "bridge.h"

#include "client.h"
#include "entry.h"
#include "store.h"
#include "subscriber.h"

#include <errno.h>
#include <stdio.h>

/* Entries that are fetched at once. */
#define PAGE 64

/* -- XREAD -> publish ------------------------------------------------------------------------ */

/* False: it is to be read again. */
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

/* Trimming takes the oldest first: while the last entry that was read is there, nothing after it is gone.
 * Otherwise everybody is told of a gap before the `next` entry. False: not now. */
static bool look_for_gap(struct bridge *bridge, const redisReply *next)
{
    const struct place read = progress_read(&bridge->progress);
    char last[PLACE_SIZE], id[PLACE_SIZE], data[2 * PLACE_SIZE];
    struct sse_event gap = {.type = sse_str("gap")};
    struct entry entry;
    struct place before;
    redisReply *found;
    bool whole;

    if (!entry_read(next, &entry))
        return false;
    before = place_before(entry.place);
    found = redis_command(&bridge->reader, "XRANGE %s %s %s", bridge->stream, place_format(read, last), last);
    whole = found && (found->elements || place_compare(read, before) >= 0);
    freeReplyObject(found);
    if (whole || !found)
        return whole;
    fprintf(stderr, "reader: entries after %s were trimmed before they were read\n", last);
    snprintf(data, sizeof(data), "%s\n%s", last, entry.event.id.ptr);
    gap.data = sse_str(data);
    gap.id = sse_str(place_format(before, id));
    progress_skip(&bridge->progress, before);
    if (sse_registry_broadcast(bridge->registry, &gap, NULL) < 0)
        return false;
    atomic_fetch_add(&bridge->told, 1);
    progress_note(&bridge->progress, before, true);
    return true;
}

/* The reply is nil after a while without entries, or [[stream, [entry, ...]]]. */
static bool read_more(struct bridge *bridge)
{
    char after[PLACE_SIZE];
    redisReply *reply = redis_command(&bridge->reader, "XREAD COUNT 256 BLOCK 500 STREAMS %s %s",
                                      bridge->stream, place_format(progress_read(&bridge->progress), after));
    const redisReply *entries = reply && reply->elements ? reply->element[0]->element[1] : NULL;
    bool published = reply && (!entries || !entries->elements || look_for_gap(bridge, entries->element[0]));

    /* However many there are, they are one write for each client. */
    sse_registry_hold(bridge->registry);
    for (size_t i = 0; entries && published && i < entries->elements; i++)
        published = publish_entry(bridge, entries->element[i]);
    sse_registry_release(bridge->registry);
    freeReplyObject(reply);
    return published;
}

/* What is in the stream when a node begins is not published there: on_gap gives it to those who ask. */
bool bridge_read(struct bridge *bridge)
{
    const struct store store = {.redis = &bridge->reader, .stream = bridge->stream};
    struct place end;

    if (progress_has_begun(&bridge->progress))
        return read_more(bridge);
    if (!store_end(&store, &end))
        return false;
    progress_begin(&bridge->progress, end);
    return true;
}

/* -- on_gap -> XRANGE ------------------------------------------------------------------------ */

/* Those after `*have`, which moves along. False: not all could be sent. */
static bool send_page(struct sse_emitter *emitter, const redisReply *page, struct place *have)
{
    struct entry entry;

    for (size_t i = 0; i < page->elements; i++) {
        if (!entry_read(page->element[i], &entry))
            return false;
        if (place_compare(entry.place, *have) <= 0)
            continue;
        if (!entry.error && subscriber_has(sse_emitter_user(emitter), entry.topic) &&
            sse_emitter_send(emitter, &entry.event) < 0)
            return false;
        *have = entry.place;
    }
    return true;
}

static bool tell_of_gap(struct bridge *bridge, struct sse_emitter *emitter, struct sse_str asked,
                        struct sse_str oldest, const struct place *place)
{
    if (client_gap(emitter, asked, oldest, place) < 0)
        return false;
    atomic_fetch_add(&bridge->told, 1);
    return true;
}

/* A page begins with what the client has. If that entry is there, then so is all that follows it, since
 * trimming takes the oldest first. A client that reads too slowly comes back for the rest. False: not now. */
static bool fill_page(struct bridge *bridge, struct sse_emitter *emitter, struct place *have,
                      struct place end)
{
    char first[PLACE_SIZE], last[PLACE_SIZE];
    struct entry oldest = {.topic = {NULL, 0}};
    redisReply *page = NULL;
    bool sent = true;

    if (client_has_room(emitter))
        page = redis_command(&bridge->commands, "XRANGE %s %s %s COUNT %d", bridge->stream,
                             place_format(*have, first), place_format(end, last), PAGE);
    if (!page)
        return false;
    if (!page->elements || !entry_read(page->element[0], &oldest) || place_compare(oldest.place, *have))
        sent = tell_of_gap(bridge, emitter, sse_str(first), oldest.event.id, NULL);
    sent = sent && send_page(emitter, page, have);
    if (page->elements < PAGE)
        *have = end;
    freeReplyObject(page);
    return sent;
}

static void put_off(struct bridge *bridge, struct sse_emitter *emitter)
{
    client_return(emitter);
    atomic_fetch_add(&bridge->put_off, 1);
}

bool bridge_fill(struct sse_registry *registry, struct sse_emitter *emitter, const struct sse_gap *gap,
                 void *user)
{
    struct bridge *bridge = user;
    struct place have, end = progress_start(&bridge->progress);

    (void)registry;
    if (gap->newest.ptr)
        (void)place_parse(gap->newest, &end);
    if (!place_parse(gap->asked, &have) || place_compare(have, end) > 0) {
        /* An id that this stream never had. The client is told, with an id that all nodes know. */
        if (!tell_of_gap(bridge, emitter, gap->asked, sse_str(NULL), &end))
            put_off(bridge, emitter);
        return true;
    }
    if (gap->oldest.ptr && place_parse(gap->oldest, &end))
        end = place_before(end);
    while (place_compare(have, end) < 0) {
        if (!fill_page(bridge, emitter, &have, end)) {
            put_off(bridge, emitter);
            return false;
        }
    }
    atomic_fetch_add(&bridge->filled, 1);
    return true;
}

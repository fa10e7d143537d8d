/* SPDX-License-Identifier: MIT */
#include "bridge.h"

#include "client.h"
#include "entry.h"
#include "store.h"

#include <errno.h>

/* In this file, false means: not possible now. The client reconnects later with the id that it has. */

/* The number of entries that one command reads. */
#define PAGE 64

/** The replay of one client. */
struct gap {
    struct bridge *bridge;
    struct sse_emitter *emitter;
    const struct sse_emitter_options *options;
    struct place have; /* the client has every event up to this place */
    struct place end;
};

static bool is_wanted(const struct sse_emitter_options *options, struct sse_text topic)
{
    for (size_t i = 0; i < options->topic_count; i++) {
        if (options->topics[i].len == topic.len && !memcmp(options->topics[i].ptr, topic.ptr, topic.len))
            return true;
    }
    return false;
}

static bool send_page(struct gap *gap, const redisReply *page)
{
    struct entry entry;

    for (size_t i = 0; i < page->elements; i++) {
        if (!entry_read(page->element[i], &entry))
            return false;
        if (place_compare(entry.place, gap->have) <= 0)
            continue;
        if (!entry.error && (entry.is_gap || is_wanted(gap->options, entry.topic)) &&
            sse_emitter_send(gap->emitter, &entry.event) < 0)
            return false;
        if (entry.is_gap)
            atomic_fetch_add(&gap->bridge->told, 1);
        gap->have = entry.place;
    }
    return true;
}

static bool tell_of_gap(struct gap *gap, struct sse_text have, struct sse_text oldest, struct sse_text id)
{
    if (client_gap(gap->emitter, have, oldest, id) < 0)
        return false;
    atomic_fetch_add(&gap->bridge->told, 1);
    return true;
}

static redisReply *read_page(const struct gap *gap)
{
    char have[PLACE_SIZE], end[PLACE_SIZE];

    return redis_command(&gap->bridge->commands, "XRANGE %s %s %s COUNT %d", gap->bridge->stream,
                         place_format_for_redis(gap->have, have), place_format_for_redis(gap->end, end),
                         PAGE);
}

/* A page begins with the client's last entry. Redis trims the oldest entries first, so while this entry exists, no
 * later one was trimmed. */
static bool check_page(struct gap *gap, const redisReply *page)
{
    struct entry first = {.topic = {NULL, 0}};
    char have[PLACE_SIZE];

    if (page->elements && !entry_read(page->element[0], &first))
        return false;
    if (page->elements && place_is_same(first.place, gap->have))
        return true;
    place_format(gap->have, have);
    /* Redis has assigned the id a second time, and the client does not have this entry. */
    if (page->elements && !place_compare(first.place, gap->have))
        gap->have = place_before(gap->have);
    return tell_of_gap(gap, sse_str(have), first.event.id, sse_str(NULL));
}

static bool fill_page(struct gap *gap)
{
    redisReply *page = read_page(gap);
    bool sent = page && check_page(gap, page) && send_page(gap, page);

    if (sent && page->elements < PAGE)
        gap->have = gap->end;
    freeReplyObject(page);
    return sent;
}

/* A paused emitter accepts events without a limit, so this function stops when many events are queued. */
static bool fill(struct gap *gap, struct place end)
{
    bool missed = place_compare(gap->have, end) < 0;

    gap->end = end;
    while (place_compare(gap->have, end) < 0) {
        if (!client_has_room(gap->emitter) || !fill_page(gap))
            return false;
    }
    atomic_fetch_add(&gap->bridge->filled, missed);
    return true;
}

/* Before its first event, a registry has no newest event. It publishes the events after the start. */
static struct place newest_place(struct bridge *bridge, const struct sse_replay *replay)
{
    struct place newest;

    return place_parse(sse_str(replay->newest), &newest) ? newest : progress_start(&bridge->current.progress);
}

static bool reject_id(struct gap *gap, struct place newest)
{
    char id[PLACE_SIZE];

    return tell_of_gap(gap, gap->options->last_event_id, sse_str(NULL), sse_str(place_format(newest, id))) &&
           !sse_emitter_start(gap->emitter, false);
}

static bool close_gap(struct gap *gap, const struct sse_replay *replay)
{
    struct place newest = newest_place(gap->bridge, replay), oldest;

    if (!place_parse(gap->options->last_event_id, &gap->have) ||
        place_compare(gap->have, progress_read(&gap->bridge->current.progress)) > 0)
        return reject_id(gap, newest);
    if (!place_parse(sse_str(replay->oldest), &oldest))
        return fill(gap, newest) && !sse_emitter_start(gap->emitter, true);
    if (place_compare(gap->have, oldest) < 0)
        return fill(gap, place_before(oldest)) && !sse_emitter_start(gap->emitter, true);
    /* The registry does not know the id, and it may have queued events that the client has already. Returning false
     * drops them. */
    return fill(gap, newest) && !sse_emitter_start(gap->emitter, false);
}

/* The client's earlier node may have read further than this node. If the id is beyond the end of the stream, there
 * is nothing to wait for. */
static bool is_ready_for(struct bridge *bridge, struct sse_text asked)
{
    const struct store store = {.redis = &bridge->commands, .stream = bridge->stream};
    struct place place, end;

    if (!progress_has_begun(&bridge->current.progress))
        return false;
    if (!place_parse(asked, &place) || place_compare(place, progress_read(&bridge->current.progress)) <= 0)
        return true;
    if (!store_end(&store, &end))
        return false;
    return place_compare(place, end) > 0 || progress_await(&bridge->current.progress, place);
}

/* While the emitter is paused, live events are queued behind the events that are sent here, so no event is lost or
 * sent twice. */
static bool begin_paused(struct gap *gap, const struct sse_replay *replay, bool is_new)
{
    if (is_new && client_ready(gap->emitter, gap->options->last_event_id) < 0)
        return false;
    if (replay->outcome != SSE_REPLAY_GAP)
        return !sse_emitter_start(gap->emitter, true);
    return close_gap(gap, replay);
}

int bridge_begin_stream(struct bridge *bridge, const struct sse_emitter_options *wanted)
{
    struct sse_emitter_options options = *wanted;
    struct gap gap = {.bridge = bridge, .options = &options};
    bool is_new = !options.last_event_id.len;
    struct sse_replay replay;
    struct place published;
    char first_id[PLACE_SIZE];
    int error;

    if (!is_ready_for(bridge, options.last_event_id))
        return -EAGAIN;
    options.registry = current_registry_at(&bridge->current, &published);
    options.paused = true;
    if (is_new)
        options.last_event_id = sse_str(place_format(published, first_id));
    error = sse_emitter_new(&gap.emitter, &options, &replay);
    sse_registry_unref(options.registry);
    if (error)
        return error;
    if (!begin_paused(&gap, &replay, is_new)) {
        client_return(gap.emitter);
        atomic_fetch_add(&bridge->put_off, 1);
    }
    /* The loop keeps the emitter until it ends. */
    sse_emitter_unref(gap.emitter);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "fanout/replay.h"
#include "wire/id.h"
#include "wire/utf8.h"

bool sse_replay_may_be_id(struct sse_text id)
{
    const unsigned char *bytes = (const unsigned char *)id.ptr;

    return id.len <= SSE_ID_SIZE_MAX && sse_id_is_valid(bytes, id.len) && sse_utf8_is_valid(bytes, id.len);
}

/** What the topics named have about an id. */
struct finding {
    bool found;
    bool has_lost; /* a topic that does not have it has lost events */
    bool doubtful; /* such a topic shares ids, so one of the lost events may have had this id */
    uint64_t sequence;
};

/* If several topics have the id, the earliest event counts: nobody knows which one the client has received, and a
 * duplicate is better than a loss. */
static void look_in(struct finding *finding, const struct sse_registry *registry, const struct topic *topic,
                    uint64_t lost, struct sse_text id)
{
    uint64_t place;

    if (!sse_names_find(&registry->archive.names, topic, id, &place)) {
        finding->has_lost |= lost > 0;
        finding->doubtful |= lost > 0 && topic->shares_ids;
        return;
    }
    if (!finding->found || place < finding->sequence)
        finding->sequence = place;
    finding->found = true;
}

static void decide(struct replay_place *place, const struct archive *archive, const struct finding *finding,
                   struct sse_text id)
{
    if (finding->found) {
        place->known = true;
        place->last = finding->sequence;
        /* The client's event may have been one that another topic has lost. */
        place->gap = place->last < place->lost || finding->doubtful;
    } else if (sse_archive_find_assigned(archive, id, &place->last)) {
        place->known = true;
        place->gap = place->last < place->lost;
    } else if (sse_names_find_anywhere(&archive->names, id, &place->last)) {
        place->known = true;
        /* An event with this id may be among those that the topics have lost. */
        place->gap = finding->has_lost;
    }
}

static bool is_asked_for(const struct replay_request *request, const struct topic *topic)
{
    if (topic == request->registry->everyone)
        return request->everyone;
    return sse_subscriptions_find(&request->emitter->membership, topic) >= request->first;
}

struct replay_place sse_replay_find(const struct replay_request *request, const struct sse_text *topics,
                                    size_t count, struct sse_text id)
{
    const struct sse_registry *registry = request->registry;
    const struct archive *archive = &registry->archive;
    struct replay_place place = {.gap = true, .last = archive->sequence};
    bool possible = sse_replay_may_be_id(id);
    /* Checked first, so that an unknown id is hashed once and not for each topic. */
    bool named = possible && sse_names_has(&archive->names, id);
    struct finding finding = {.found = false};

    if (!sse_archive_is_on(archive))
        return place;
    for (size_t i = 0; i <= count; i++) {
        const struct topic *topic =
            i < count ? sse_topics_find(&registry->topics, topics[i]) : registry->everyone;
        uint64_t lost = sse_archive_lost(archive, topic, request->now);

        if (lost > place.lost && is_asked_for(request, topic))
            place.lost = lost;
        if (named)
            look_in(&finding, registry, topic, lost, id);
    }
    if (possible)
        decide(&place, archive, &finding, id);
    return place;
}

/** A history, and the position of the next entry to replay. */
struct replay_source {
    const struct history *history;
    size_t position;
    uint64_t sequence; /* of the entry at that position */
};

/* Puts a source into the heap, at `index` or below. */
static void sift_down(struct replay *replay, size_t index, struct replay_source source)
{
    size_t child;

    while ((child = 2 * index + 1) < replay->count) {
        if (child + 1 < replay->count &&
            replay->sources[child + 1].sequence < replay->sources[child].sequence)
            child++;
        if (source.sequence <= replay->sources[child].sequence)
            break;
        replay->sources[index] = replay->sources[child];
        index = child;
    }
    replay->sources[index] = source;
}

static void add_source(struct replay *replay, const struct replay_request *request, const struct topic *topic)
{
    const struct history *history = &topic->past->history;
    uint64_t lost = sse_archive_lost(&request->registry->archive, topic, request->now);
    size_t position = sse_history_after(history, request->after > lost ? request->after : lost);

    if (position == history->count)
        return;
    replay->sources[replay->count++] = (struct replay_source){
        .history = history,
        .position = position,
        .sequence = sse_history_at(history, position)->sequence,
    };
    replay->messages += history->count - position;
}

bool sse_replay_begin(struct replay *replay, const struct replay_request *request)
{
    const struct sse_registry *registry = request->registry;
    const struct emitter_membership *membership = &request->emitter->membership;
    uint32_t topics = sse_subscriptions_count(membership);

    *replay = (struct replay){.platform = registry->platform};
    if (!sse_archive_is_on(&registry->archive))
        return true;
    replay->sources = sse_platform_allocate(replay->platform,
                                            ((size_t)topics - request->first + 1) * sizeof(*replay->sources));
    if (!replay->sources)
        return false;
    if (request->everyone)
        add_source(replay, request, registry->everyone);
    for (uint32_t i = request->first; i < topics; i++)
        add_source(replay, request, sse_subscriptions_at(membership, i).topic);
    for (size_t i = replay->count / 2; i > 0; i--)
        sift_down(replay, i - 1, replay->sources[i - 1]);
    return true;
}

const struct history_entry *sse_replay_first(const struct replay *replay)
{
    return replay->count ? sse_history_at(replay->sources[0].history, replay->sources[0].position) : NULL;
}

void sse_replay_advance(struct replay *replay)
{
    struct replay_source source = replay->sources[0];

    replay->messages--;
    if (++source.position < source.history->count)
        source.sequence = sse_history_at(source.history, source.position)->sequence;
    else
        source = replay->sources[--replay->count];
    sift_down(replay, 0, source);
}

void sse_replay_end(struct replay *replay)
{
    sse_platform_deallocate(replay->platform, replay->sources);
}

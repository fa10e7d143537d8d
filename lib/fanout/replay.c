/* SPDX-License-Identifier: MIT */
#include "fanout/replay.h"

/** A history on its way through the merge. */
struct source {
    const struct history *history;
    size_t position;
};

static bool reserve(struct replay *replay, size_t more, const struct sse_host *host)
{
    size_t capacity = replay->capacity ? replay->capacity : 4;
    struct sse_message **messages;

    if (more <= replay->capacity - replay->count)
        return true;
    while (capacity - replay->count < more)
        capacity *= 2;
    messages = sse_host_allocate(host, capacity * sizeof(struct sse_message *));
    if (!messages)
        return false;
    if (replay->count)
        memcpy(messages, replay->messages, replay->count * sizeof(struct sse_message *));
    sse_host_release(host, replay->messages);
    replay->messages = messages;
    replay->capacity = capacity;
    return true;
}

bool sse_replay_append(struct replay *replay, struct sse_message *message, const struct sse_host *host)
{
    if (!reserve(replay, 1, host))
        return false;
    replay->messages[replay->count++] = sse_message_ref(message);
    return true;
}

void sse_replay_free(struct replay *replay, const struct sse_host *host)
{
    for (size_t i = 0; i < replay->count; i++)
        sse_message_unref(replay->messages[i]);
    sse_host_release(host, replay->messages);
    *replay = (struct replay){.messages = NULL};
}

static size_t add_source(struct source *source, const struct topic *topic, uint64_t from)
{
    const struct history *history = &topic->past->history;

    *source = (struct source){.history = history, .position = sse_history_after(history, from)};
    return history->count - source->position;
}

/* The oldest entry of all sources, or NULL; the same entry in two sources is one. */
static const struct history_entry *next_entry(struct source *sources, size_t count)
{
    const struct history_entry *oldest = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct history *history = sources[i].history;

        if (sources[i].position < history->count) {
            const struct history_entry *entry = sse_history_at(history, sources[i].position);

            if (!oldest || entry->sequence < oldest->sequence)
                oldest = entry;
        }
    }
    for (size_t i = 0; oldest && i < count; i++) {
        const struct history *history = sources[i].history;

        if (sources[i].position < history->count &&
            sse_history_at(history, sources[i].position)->sequence == oldest->sequence)
            sources[i].position++;
    }
    return oldest;
}

bool sse_replay_collect(struct replay *replay, struct sse_registry *registry, struct sse_emitter *emitter,
                        const struct sse_str *topics, size_t count, uint64_t from)
{
    bool member = sse_members_has(registry, emitter);
    struct source *sources = sse_host_allocate(registry->host, (count + 1) * sizeof(*sources));
    const struct history_entry *entry;
    size_t used = 0, messages = 0;
    bool enough;

    if (!sources)
        return false;
    if (!member && sse_archive_is_on(&registry->archive))
        messages += add_source(&sources[used++], registry->broadcasts, from);
    for (size_t i = 0; i < count && sse_archive_is_on(&registry->archive); i++) {
        const struct topic *topic = sse_topics_find(&registry->topics, topics[i]);

        if (topic && !(member && sse_topics_is_subscribed(emitter, topic)))
            messages += add_source(&sources[used++], topic, from);
    }
    enough = reserve(replay, messages, registry->host);
    while (enough && (entry = next_entry(sources, used)))
        replay->messages[replay->count++] = sse_message_ref(entry->message);
    sse_host_release(registry->host, sources);
    return enough;
}

/* What the topics asked for know of an id. */
struct finding {
    bool found;
    bool doubtful; /* one that does not hold it has let go of events */
    uint64_t sequence;
};

/* Which of several events the client has seen is not known, and once too often is no loss. */
static void look_in(struct finding *finding, const struct sse_registry *registry, const struct topic *topic,
                    struct sse_str id)
{
    uint64_t place;

    if (!sse_names_find(&registry->archive.names, topic, id, &place)) {
        finding->doubtful |= sse_archive_has_lost(&registry->archive, topic, 0);
        return;
    }
    if (!finding->found || place < finding->sequence)
        finding->sequence = place;
    finding->found = true;
}

static struct finding look_up(const struct sse_registry *registry, const struct sse_str *topics, size_t count,
                              struct sse_str id)
{
    struct finding finding = {.found = false};

    /* An id may be as long as its client likes: one that nobody gave is hashed once, not for each topic. */
    if (!sse_names_has(&registry->archive.names, id))
        return finding;
    look_in(&finding, registry, registry->broadcasts, id);
    for (size_t i = 0; i < count; i++)
        look_in(&finding, registry, sse_topics_find(&registry->topics, topics[i]), id);
    return finding;
}

bool sse_replay_find(const struct sse_registry *registry, const struct sse_str *topics, size_t count,
                     struct sse_str id, uint64_t lost, uint64_t *sequence)
{
    const struct archive *archive = &registry->archive;
    struct finding finding;

    *sequence = archive->sequence;
    if (!sse_archive_is_on(archive))
        return false;
    finding = look_up(registry, topics, count, id);
    if (finding.found) {
        *sequence = finding.sequence;
        /* Where ids go by the topic, this may be another topic's than the client's. */
        return *sequence >= lost && !(finding.doubtful && archive->names.shared);
    }
    if (sse_archive_find_assigned(archive, id, sequence))
        return *sequence >= lost;
    /* What these topics have let go of may have had this id as well. */
    return sse_names_find_anywhere(&archive->names, id, sequence) && !lost;
}

static uint64_t later(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

uint64_t sse_replay_last_lost(const struct sse_registry *registry, const struct sse_str *topics, size_t count)
{
    uint64_t lost = sse_topic_lost(registry->broadcasts);

    for (size_t i = 0; i < count; i++) {
        const struct topic *topic = sse_topics_find(&registry->topics, topics[i]);

        lost = later(lost, topic ? sse_topic_lost(topic) : registry->topics.lost);
    }
    return lost;
}

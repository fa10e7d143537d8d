/* SPDX-License-Identifier: MIT */
/* The steps of one client, of registries and loops. */
#include "attempt.h"
#include "fault.h"
#include "step.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_MAX 8

static const int no_memory[] = {-ENOMEM, 0};

/* Each letter is a topic. */
static size_t split(struct sse_text *names, const char *topics)
{
    size_t count = strlen(topics);

    expect(count <= TOPICS_MAX, "too many topics");
    for (size_t i = 0; i < count; i++)
        names[i] = (struct sse_text){.ptr = topics + i, .len = 1};
    return count;
}

/* Replay */

/* An empty id means no id. */
static const char *id_or_null(const char *id)
{
    return id && *id ? id : NULL;
}

static unsigned number_of_id(const char *id)
{
    for (unsigned number = server.number; number > GAP_EVENT; number--)
        if (server.events[number].topic && !strcmp(server.events[number].id.text, id))
            return number;
    return GAP_EVENT;
}

/* The events that were published after an event, to these topics and perhaps to everyone. */
static struct numbers published_after(unsigned number, const char *topics, bool everyone)
{
    struct numbers found = {.count = 0};

    while (++number <= server.number) {
        char topic = server.events[number].topic;

        if (topic && (topic == ' ' ? everyone : strchr(topics, topic) != NULL))
            numbers_add(&found, number);
    }
    return found;
}

static void expect_outcome(const struct client *client, const char *last_event_id, bool known)
{
    enum sse_replay_outcome outcome = client->replay.outcome;

    if (!last_event_id)
        expect(outcome == SSE_REPLAY_NONE, "a replay that nobody asked for");
    else if (!known)
        expect(outcome == SSE_REPLAY_GAP, "an id that is unknown, and no gap");
    else
        expect(outcome == SSE_REPLAY_COMPLETE || server.loses_history, "a gap that is none");
}

static void offer_replay(struct client *client, const char *topics, bool everyone, const char *last_event_id)
{
    unsigned number = last_event_id ? number_of_id(last_event_id) : server.number;
    struct numbers found = published_after(number, topics, everyone), *to = &client->offered;
    size_t messages = client->replay.messages;

    expect_outcome(client, last_event_id, number > GAP_EVENT);
    client->gap = client->replay.outcome == SSE_REPLAY_GAP;
    client->gap_is_unknown = client->gap && number == GAP_EVENT;
    if (client->paused)
        to = &client->later;
    else if (client->gap && server.tells_gap)
        numbers_add(to, GAP_EVENT);
    /* With an unknown id, only a server that can fill the gap receives the retained events. */
    if (last_event_id && number == GAP_EVENT && !client->paused)
        found.count = 0;
    expect(messages <= found.count, "more was replayed than published");
    expect(messages == found.count || server.loses_history, "less was replayed than published");
    for (size_t i = found.count - messages; i < found.count; i++)
        numbers_add(to, found.of[i]);
}

/* Joining */

static int try_join(struct client *client, const char *topics, const char *last_event_id)
{
    struct sse_text names[TOPICS_MAX];
    int error;

    client->options.topics = names;
    client->options.topic_count = split(names, topics);
    client->options.last_event_id = sse_str(last_event_id);
    client->replay.messages = 77;
    error = sse_emitter_new(&client->emitter, &client->options, &client->replay);
    if (error)
        expect(!client->emitter && client->replay.messages == 77, "an error changed a result");
    return error;
}

void step_join(struct client *client, const char *topics, const char *last_event_id)
{
    static const int documented[] = {-EBADF, -EEXIST, -ENOSPC, -ENOMEM, -EIO, 0};
    struct attempt attempt;
    int error;

    attempt_begin(&attempt, client);
    do
        error = try_join(client, topics, last_event_id);
    while (attempt_is_to_be_repeated(&attempt, error, documented));
    if (error) {
        client_give_up(client);
        return;
    }
    client->paused = client->options.paused;
    memcpy(client->topics, topics, strlen(topics) + 1);
    offer_replay(client, topics, true, id_or_null(last_event_id));
}

void join(size_t which, enum client_kind kind, int loop, const char *topics)
{
    step_join(client_prepare(which, kind, loop), topics, NULL);
}

void step_join_refused(struct client *client, const char *topics, int error)
{
    struct picture before;
    int result;

    picture_take(&before, NULL);
    result = try_join(client, topics, NULL);
    expect(result == error || (fault_has_struck() && result < 0), "not refused as it has to be");
    if (result == -EAGAIN)
        before.stats.refused++;
    expect(picture_is_unchanged(&before), "a refusal changed something");
    client_give_up(client);
}

void step_subscribe(struct client *client, const char *topics, const char *last_event_id)
{
    struct sse_text names[TOPICS_MAX];
    size_t count = split(names, topics);
    struct attempt attempt;
    int error;

    if (!client_is_open(client))
        return;
    attempt_begin(&attempt, client);
    do
        error = sse_registry_subscribe(server.registry, client->emitter, names, count, sse_str(last_event_id),
                                       &client->replay);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    if (error)
        return;
    offer_replay(client, topics, false, id_or_null(last_event_id));
    expect(strlen(client->topics) + count < sizeof(client->topics), "too many topics");
    strcat(client->topics, topics);
}

void step_unsubscribe(struct client *client, const char *topics)
{
    struct sse_text names[TOPICS_MAX];
    size_t count = split(names, topics);
    int error;

    if (!client_is_open(client))
        return;
    error = sse_registry_unsubscribe(server.registry, client->emitter, names, count);
    expect(!error, "unsubscribe failed");
    for (; *topics; topics++) {
        char *at = strchr(client->topics, *topics);

        if (at)
            memmove(at, at + 1, strlen(at));
    }
}

/* Steps of a client that has joined */

void step_start(struct client *client, bool gap_filled)
{
    if (!client_is_open(client))
        return;
    client->paused = false;
    client_offer_later(client, gap_filled);
    expect(!sse_emitter_start(client->emitter, gap_filled), "start failed");
}

/* An error is the emitter's end. */
void step_ping(struct client *client)
{
    if (client_is_open(client))
        expect(!sse_emitter_ping(client->emitter), "ping failed");
}

void step_complete(struct client *client)
{
    if (client_is_open(client))
        expect(!sse_emitter_complete(client->emitter), "complete failed");
}

void step_close(struct client *client)
{
    if (!client->emitter)
        return;
    client->may_end |= 1u << SSE_REASON_CLOSED;
    sse_emitter_close(client->emitter);
    client->emitter = NULL;
}

void step_consume(struct client *client, size_t size)
{
    struct iovec iov[3];
    size_t used = 0;
    int count;

    if (!client->emitter)
        return;
    client->readable = false;
    count = sse_emitter_peek(client->emitter, iov, 3);
    for (int i = 0; i < count && size; i++) {
        size_t piece = iov[i].iov_len < size ? iov[i].iov_len : size;

        memcpy(client->received + client->size, iov[i].iov_base, piece);
        client->size += piece;
        size -= piece;
        server.progress++;
        used += piece;
    }
    if (count > 0)
        expect(!sse_emitter_consume(client->emitter, used), "consume failed");
    client->readable = count > 0;
}

int step_wait(struct client *client, int timeout_ms)
{
    static const int documented[] = {-ENOMEM, -EIO, 0};
    struct attempt attempt;
    int result;

    if (!client_is_open(client))
        return 0;
    attempt_begin(&attempt, client);
    do {
        result = sse_emitter_wait(client->emitter, timeout_ms);
        if (result == -EINTR || !client_is_open(client))
            return result;
    } while (result < 0 && attempt_is_to_be_repeated(&attempt, result, documented));
    return result;
}

/* Registries and loops */

static int count_visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    ++*(size_t *)user;
    return 0;
}

static struct sse_text name_of(const char *topic)
{
    return *topic == ' ' ? sse_str(NULL) : (struct sse_text){.ptr = topic, .len = 1};
}

void step_visit_each(char topic)
{
    size_t visits = 0;
    struct attempt attempt;
    int error;

    attempt_begin(&attempt, NULL);
    do
        error = sse_registry_each(server.registry, name_of(&topic), count_visit, &visits);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    expect(visits == (error ? 0 : sse_registry_count(server.registry, name_of(&topic))),
           "not as many visits as members");
}

void step_complete_topic(char topic)
{
    expect(!sse_registry_complete(server.registry, name_of(&topic)), "complete failed");
}

int step_new_registry(struct sse_registry **registry, const struct sse_registry_options *options)
{
    struct attempt attempt;
    int error;

    attempt_begin(&attempt, NULL);
    do
        error = sse_registry_new(registry, options);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    return error;
}

int step_new_loop(struct served_loop *served)
{
    /* This is the last one, because no fcntl fails on a new pipe. */
    static const int documented[] = {-ENOMEM, -EMFILE, -ENFILE, -ENOSPC, -EBADF, 0};
    struct attempt attempt;
    int error;

    attempt_begin(&attempt, NULL);
    do
        error = server_open_loop(served);
    while (attempt_is_to_be_repeated(&attempt, error, documented));
    return error;
}

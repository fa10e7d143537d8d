/* SPDX-License-Identifier: MIT */
/* The end of a schedule, and the guarantees that must hold then. */
#include "failure.h"
#include "locks.h"
#include "memory.h"
#include "scene.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 64
#define PIECES_MAX 16

static const char begin_of_event[] = "data: ";
static const char comment[] = ":\n";
static const char begin_of_id[] = "id: ";

/* Without a loop nobody notifies the reader, who checks by itself. */
static bool read_on(struct client *client)
{
    size_t size = client->log_size;

    if (client->plan.output != SSE_OUTPUT_PULL || !client->references || client->has_read_all ||
        (client->plan.loop && client->is_asleep))
        return false;
    client->has_read_all = client_read(client, PIECES_MAX) < 0;
    return client->log_size > size;
}

/* The server continues: its loops take the due turns, and its readers read when they were notified. */
static bool go_on(void)
{
    bool worked = false;

    for (unsigned i = 0; i < LOOPS; i++) {
        if (!loop_is_due(&scene.loops[i]))
            continue;
        loop_turn(&scene.loops[i]);
        worked = true;
    }
    for (unsigned i = 0; i < scene.client_count; i++) {
        struct client *client = &scene.clients[i];

        client_receive(client);
        worked |= read_on(client);
    }
    return worked;
}

static void settle(void)
{
    for (unsigned rounds = 0; go_on(); rounds++)
        require(rounds < ROUNDS_MAX);
}

/* Takes the turns that are due until then, each at its time. */
static void settle_until(uint64_t end)
{
    uint64_t next = 0;

    while (next <= end) {
        settle();
        next = UINT64_MAX;
        for (unsigned i = 0; i < LOOPS; i++)
            if (scene.loops[i].loop && !scene.loops[i].is_freed && scene.loops[i].next < next)
                next = scene.loops[i].next;
        atomic_store(&scene.fake.now, next < end ? next : end);
    }
}

/* Every emitter that a call has ended must have ended by now, unless its output accepts nothing. */
static void check_ends(void)
{
    for (unsigned i = 0; i < scene.client_count; i++) {
        const struct client *client = &scene.clients[i];
        bool ends = client->is_closed || (client->plan.loop && (client->must_end || scene.is_shut_down));

        if (client->is_made && ends && !client->is_full && !client->completions)
            failure("client %u was ended, and has not", i);
    }
}

static bool has_comment(const struct client *client, size_t from)
{
    return client->log_size >= from + 2 && !memcmp(client->log + from, comment, 2);
}

/* Every idle client gets a heartbeat in time. */
static void check_timers(void)
{
    size_t sizes[CLIENTS];

    for (unsigned i = 0; i < scene.client_count; i++)
        sizes[i] = scene.clients[i].log_size;
    settle_until(atomic_load(&scene.fake.now) + HEARTBEAT_MS * UINT64_C(1000000));
    for (unsigned i = 0; i < scene.client_count; i++) {
        const struct client *client = &scene.clients[i];
        const struct server_loop *loop = client->plan.loop;

        if (!client->is_made || client->completions || client->is_full || client->is_closed || !loop ||
            loop->is_freed || loop->polled)
            continue;
        if (!has_comment(client, sizes[i]))
            failure("client %u has got no heartbeat", i);
    }
}

static struct sent_event *find_event(const char *code)
{
    for (unsigned i = 0; i < scene.event_count; i++)
        if (!memcmp(scene.events[i].code, code, CODE_SIZE - 1))
            return &scene.events[i];
    failure("an event has come that nobody has sent: %.2s", code);
}

static bool begins(const char *line, size_t length, const char *with)
{
    return length >= strlen(with) && !memcmp(line, with, strlen(with));
}

static bool is_no_event(const char *line, size_t length)
{
    return !length || begins(line, length, ":") || begins(line, length, begin_of_id);
}

/* The events that arrived, in order. Only comments may be between them. */
static unsigned read_log(const struct client *client, const struct sent_event **events)
{
    const size_t size_of_event = strlen(begin_of_event) + CODE_SIZE - 1;
    const char *line = client->log, *end = client->log + client->log_size;
    unsigned count = 0;

    while (line < end) {
        const char *after = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((after ? after : end) - line);

        if (after && length == size_of_event && begins(line, length, begin_of_event))
            events[count++] = find_event(line + strlen(begin_of_event));
        else if (!after || !is_no_event(line, length))
            failure("what has come is no event: %.*s", (int)length, line);
        line = after + 1;
    }
    return count;
}

/* Each event arrived once, and those of one thread in order. In a stream that was paused, sent events come
 * first. */
static void check_order(const struct client *client)
{
    const struct sent_event *events[EVENTS_MAX];
    unsigned count = read_log(client, events);

    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < i; k++) {
            if (events[i] == events[k])
                failure("an event has come twice: %s", events[i]->code);
            if (events[i]->code[0] == events[k]->code[0] && events[i]->code[1] < events[k]->code[1] &&
                events[i]->is_published == events[k]->is_published)
                failure("%s has come after %s", events[i]->code, events[k]->code);
            if (client->plan.paused && events[k]->is_published && !events[i]->is_published)
                failure("%s has come before the state: %s", events[k]->code, events[i]->code);
        }
}

static unsigned place_of(const struct sent_event *event, const struct sent_event *const *events,
                         unsigned count)
{
    unsigned place = 0;

    while (place < count && events[place] != event)
        place++;
    return place;
}

/* Two clients received the same events in one order. */
static void check_common_order(const struct client *one, const struct client *other)
{
    const struct sent_event *ones[EVENTS_MAX], *others[EVENTS_MAX];
    unsigned one_count = read_log(one, ones), other_count = read_log(other, others), last = 0;

    for (unsigned i = 0; i < one_count; i++) {
        unsigned place = place_of(ones[i], others, other_count);

        if (!ones[i]->is_published || place == other_count)
            continue;
        if (place < last)
            failure("%s has come to two clients in two orders", ones[i]->code);
        last = place;
    }
}

/* Every accepted event has arrived, or was dropped by an end. */
static void check_nothing_lost(void)
{
    const struct sent_event *events[EVENTS_MAX];
    uint64_t accepted = 0, arrived = 0;

    for (unsigned i = 0; i < scene.event_count; i++)
        accepted += scene.events[i].accepted;
    for (unsigned i = 0; i < scene.client_count; i++) {
        const struct client *client = &scene.clients[i];

        if (client->is_full && !client->completions)
            return;
        arrived += read_log(client, events) + client->completion.dropped;
    }
    if (arrived < accepted)
        failure("%u events were accepted, and %u have come or were dropped", (unsigned)accepted,
                (unsigned)arrived);
}

/* The replay and the live events together are all published events. */
static void check_replay(const struct client *client)
{
    const struct sent_event *events[EVENTS_MAX];
    unsigned count = read_log(client, events), published = 0;

    for (unsigned i = 0; i < scene.event_count; i++)
        published += scene.events[i].is_published;
    if (count != published - 1)
        failure("%u events were published after the one that the client had, and %u have come", published - 1,
                count);
}

/* Another client may have the number by then. */
static bool has_closed_descriptor(const struct client *client)
{
    for (const struct client *later = client + 1; later < scene.clients + scene.client_count; later++)
        if (later->descriptor == client->descriptor || later->peer == client->descriptor)
            return true;
    return fcntl(client->descriptor, F_GETFD) < 0;
}

static void check_end(struct client *client)
{
    const struct sent_event *events[EVENTS_MAX];
    char byte;

    require(client->completions == client->is_made);
    require(client->releases == client->is_made);
    if (!client->is_made)
        return;
    if (!client->completion.error && !client->plan.paused && !client->plan.queue_messages)
        require(client->completion.dropped == 0);
    /* Bytes that are read after the end are not counted. */
    require(client->completion.events == read_log(client, events) ||
            (client->plan.output == SSE_OUTPUT_PULL && client->completion.events < read_log(client, events)));
    check_order(client);
    if (client->plan.after)
        check_replay(client);
    if (client->plan.owned)
        require(has_closed_descriptor(client) && recv(client->peer, &byte, 1, 0) == 0);
}

static void end_clients(void)
{
    for (unsigned i = 0; i < scene.client_count; i++) {
        struct client *client = &scene.clients[i];

        while (client->references > 1 || (client->references && client->is_closed))
            client_unref(client);
        if (client->references)
            client_close(client);
    }
}

static void end_all(void)
{
    end_clients();
    settle();
    for (unsigned i = 0; i < LOOPS; i++)
        if (scene.loops[i].loop && !scene.loops[i].is_freed)
            loop_free(&scene.loops[i]);
    for (unsigned i = 0; i < scene.client_count; i++)
        client_receive(&scene.clients[i]);
    while (scene.registry_references--)
        sse_registry_unref(scene.registry);
}

void scene_check(void)
{
    if (locks_held_by_all())
        failure("a lock is still held");
    settle();
    check_nothing_lost();
    check_ends();
    check_timers();
    end_all();
    for (unsigned i = 0; i < scene.client_count; i++) {
        check_end(&scene.clients[i]);
        for (unsigned k = 0; k < i; k++)
            check_common_order(&scene.clients[i], &scene.clients[k]);
    }
    check_nothing_lost();
    if (memory_blocks())
        failure("%zu blocks of memory have leaked", memory_blocks());
    scene_forget();
}

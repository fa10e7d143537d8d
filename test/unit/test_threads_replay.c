/* SPDX-License-Identifier: MIT */
/* Clients that come and go while others publish: each has every event of its topics once and in order,
 * whatever is published between its leaving, its coming back and its joining. */
#include "fake_host.h"
#include "schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sse/registry.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PUBLISHERS 2
#define CLIENTS 4
#define TOPICS 3
#define EVENTS 400 /* of each publisher */
#define TEXT_SIZE ((size_t)1 << 20)

static const char *const names[TOPICS] = {"a", "b", "c"};

struct stage {
    struct fake_host fake;
    struct sse_host host;
    struct sse_registry *registry;
    struct sse_emitter *witness; /* has all topics, and never leaves */
    uint64_t seed;
    atomic_uint publishing;
    atomic_uint come; /* clients that have connected once */
};

struct publisher {
    struct stage *stage;
    unsigned number;
};

struct client {
    struct stage *stage;
    struct schedule_random random;
    unsigned topics; /* a bit for each */
    struct sse_emitter *emitter;
    char *text; /* whole events */
    size_t size;
    size_t rest; /* bytes behind them */
    char last_id[SSE_ASSIGNED_ID_SIZE];
    unsigned visits;
};

/* Some of the events are for all; some are named by the publisher. */
static void publish_one(struct publisher *publisher, struct schedule_random *random, unsigned sequence)
{
    struct sse_registry *registry = publisher->stage->registry;
    unsigned topic = schedule_below(random, TOPICS + 1);
    char data[64], id[32];
    struct sse_event event = {.data = {.ptr = data}};

    event.data.len = (size_t)snprintf(data, sizeof(data), "%s %u %u", topic < TOPICS ? names[topic] : "all",
                                      publisher->number, sequence);
    if (schedule_one_in(random, 3)) {
        (void)snprintf(id, sizeof(id), "%u.%u", publisher->number, sequence);
        event.id = sse_str(id);
    }
    if (topic < TOPICS)
        require(sse_registry_publish(registry, sse_str(names[topic]), &event, NULL) == 0);
    else
        require(sse_registry_broadcast(registry, &event, NULL) == 0);
}

static void *publish(void *user)
{
    struct publisher *publisher = user;
    struct schedule_random random;

    schedule_random_init(&random, publisher->stage->seed, 100 + publisher->number);
    for (unsigned sequence = 0; sequence < EVENTS; sequence++) {
        /* Whatever the scheduler does, every client comes while there is something to miss. */
        while (sequence == EVENTS / 2 && atomic_load(&publisher->stage->come) < CLIENTS)
            sched_yield();
        publish_one(publisher, &random, sequence);
        schedule_pause(&random);
    }
    atomic_fetch_sub(&publisher->stage->publishing, 1);
    return NULL;
}

static void connect_client(struct client *client)
{
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .host = &client->stage->host,
                                                .drain = SSE_DRAIN_PULL,
                                                .stall_ms = -1,
                                                .heartbeat_ms = -1};
    struct sse_str topics[TOPICS];
    struct sse_replay replay = {.size = sizeof(replay)};
    size_t count = 0;

    for (unsigned i = 0; i < TOPICS; i++) {
        if (client->topics & 1u << i)
            topics[count++] = sse_str(names[i]);
    }
    require(sse_emitter_new(&client->emitter, &options) == 0);
    require(sse_registry_subscribe(client->stage->registry, client->emitter, topics, count,
                                   sse_str(client->last_id), &replay) == 0);
    require(replay.outcome == SSE_REPLAY_COMPLETE);
    if (!client->visits++)
        atomic_fetch_add(&client->stage->come, 1);
}

static void remember_id(struct client *client, const char *event)
{
    const char *id = strstr(event, "\nid: ");
    size_t size;

    require(id != NULL);
    id += strlen("\nid: ");
    size = strcspn(id, "\n");
    require(size < sizeof(client->last_id));
    memcpy(client->last_id, id, size);
    client->last_id[size] = '\0';
}

/* False when there is nothing to read. */
static bool read_some(struct client *client, size_t most)
{
    char *at = client->text + client->size;
    const char *end;
    ssize_t size = sse_emitter_read(client->emitter, at + client->rest, most);

    require(size >= 0);
    client->rest += (size_t)size;
    at[client->rest] = '\0';
    require(client->size + client->rest + 4096 < TEXT_SIZE);
    while ((end = strstr(at, "\n\n"))) {
        size_t whole = (size_t)(end - at) + 2;

        remember_id(client, at);
        client->size += whole;
        client->rest -= whole;
        at += whole;
    }
    return size > 0;
}

/* As a broken connection: what came of the last event is forgotten. */
static void disconnect(struct client *client)
{
    client->rest = 0;
    client->text[client->size] = '\0';
    require(sse_emitter_detach(client->emitter) == 0);
    sse_emitter_unref(client->emitter);
}

static void *come_and_go(void *user)
{
    struct client *client = user;

    while (atomic_load(&client->stage->publishing)) {
        connect_client(client);
        for (unsigned i = schedule_below(&client->random, 8); i; i--) {
            if (!read_some(client, 1 + schedule_below(&client->random, 300)))
                schedule_pause(&client->random);
        }
        disconnect(client);
    }
    connect_client(client);
    while (read_some(client, 4096))
        ;
    disconnect(client);
    return NULL;
}

static bool is_for(const struct client *client, const char *event)
{
    char name;

    require(!strncmp(event, "data: ", 6));
    name = event[6];
    if (!strncmp(event + 6, "all ", 4))
        return true;
    return client->topics & 1u << (name - 'a');
}

/* What the witness saw of its topics, byte for byte. */
static void check(const struct client *client, const char *all)
{
    const char *at = client->text;

    for (const char *event = all; *event;) {
        size_t size = (size_t)(strstr(event, "\n\n") - event) + 2;

        if (is_for(client, event)) {
            require(!strncmp(at, event, size));
            at += size;
        }
        event += size;
    }
    require(!*at);
}

static char *read_witness(struct stage *stage)
{
    char *text = malloc(TEXT_SIZE);
    size_t size = 0;
    ssize_t part;

    require(text != NULL);
    while ((part = sse_emitter_read(stage->witness, text + size, TEXT_SIZE - 1 - size)) > 0)
        size += (size_t)part;
    text[size] = '\0';
    return text;
}

static void open_stage(struct stage *stage, uint64_t seed)
{
    struct sse_registry_options options = {.size = sizeof(options),
                                           .host = &stage->host,
                                           .history = {.events = 2 * PUBLISHERS * EVENTS},
                                           .epoch = sse_str("E")};
    const struct sse_emitter_options witness = {.size = sizeof(witness),
                                                .host = &stage->host,
                                                .drain = SSE_DRAIN_PULL,
                                                .stall_ms = -1,
                                                .heartbeat_ms = -1};
    struct sse_str topics[TOPICS];

    *stage = (struct stage){.seed = seed};
    fake_host_init(&stage->fake);
    schedule_host_init(&stage->host, &stage->fake, true);
    atomic_init(&stage->publishing, PUBLISHERS);
    atomic_init(&stage->come, 0);
    for (size_t i = 0; i < TOPICS; i++)
        topics[i] = sse_str(names[i]);
    require(sse_registry_new(&stage->registry, &options) == 0);
    require(sse_emitter_new(&stage->witness, &witness) == 0);
    require(sse_registry_subscribe(stage->registry, stage->witness, topics, TOPICS, sse_str(""), NULL) == 0);
}

static unsigned run(uint64_t seed)
{
    struct stage stage;
    struct publisher publishers[PUBLISHERS];
    struct client clients[CLIENTS];
    pthread_t threads[PUBLISHERS + CLIENTS];
    unsigned visits = 0;
    char *all;

    open_stage(&stage, seed);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){
            .stage = &stage, .text = malloc(TEXT_SIZE), .last_id = "E-0000000000000000", .topics = i * 2 + 1};
        require(clients[i].text != NULL);
        schedule_random_init(&clients[i].random, seed, i);
        require(pthread_create(&threads[PUBLISHERS + i], NULL, come_and_go, &clients[i]) == 0);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        publishers[i] = (struct publisher){.stage = &stage, .number = i};
        require(pthread_create(&threads[i], NULL, publish, &publishers[i]) == 0);
    }
    for (unsigned i = 0; i < PUBLISHERS + CLIENTS; i++)
        pthread_join(threads[i], NULL);
    all = read_witness(&stage);
    for (unsigned i = 0; i < CLIENTS; i++) {
        check(&clients[i], all);
        visits += clients[i].visits;
        free(clients[i].text);
    }
    free(all);
    sse_emitter_unref(stage.witness);
    sse_registry_unref(stage.registry);
    fake_host_check_no_leak(&stage.fake);
    return visits;
}

static void nothing_is_lost_between_two_connections(void **state)
{
    uint64_t seed = schedule_seed();
    unsigned rounds = schedule_rounds(60);

    (void)state;
    for (unsigned round = 0; round < rounds; round++)
        require(run(seed + round) >= 2 * CLIENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_between_two_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

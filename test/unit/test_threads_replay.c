/* SPDX-License-Identifier: MIT */
/* Clients of two loops come and go while others publish. Each receives every event of its topics once and in order,
 * also events that are published between its disconnect, its reconnect and its joining. Other clients begin with
 * the current state, and receive every change after it once. */
#include "loop_thread.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <sse/registry.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOOPS 2
#define PUBLISHERS 2
#define CLIENTS 4
#define READERS 2 /* of the current state */
#define THREADS (PUBLISHERS + CLIENTS + READERS)
#define TOPICS 3
#define EVENTS 400 /* of each publisher */
#define TEXT_SIZE ((size_t)1 << 20)

static const char *const names[TOPICS] = {"a", "b", "c"};

/* A witness has all topics, and never disconnects. Its loop appends to the text. */
struct witness {
    struct sse_emitter *emitter;
    char *text;
    size_t size;
};

struct stage {
    struct fake_platform fake;
    struct sse_platform platform;
    struct sse_registry *registry;
    struct loop_thread loops[LOOPS];
    struct witness witnesses[LOOPS];
    uint64_t seed;
    atomic_uint publishing;
    atomic_uint come; /* clients that have connected once */

    /* The state of the server: how many events each publisher has published. */
    pthread_mutex_t lock;
    unsigned published[PUBLISHERS];
};

struct worker {
    struct stage *stage;
    unsigned number;
    struct schedule_random random;

    unsigned topics; /* a bit for each */
    struct sse_emitter *emitter;
    char *text; /* complete events */
    size_t size;
    size_t rest; /* bytes after them */
    char last_id[SSE_ASSIGNED_ID_SIZE];
    unsigned visits;
};

static ssize_t write_text(void *user, const struct iovec *iov, int count)
{
    struct witness *witness = user;
    size_t before = witness->size;

    for (int i = 0; i < count; i++) {
        require(witness->size + iov[i].iov_len < TEXT_SIZE);
        memcpy(witness->text + witness->size, iov[i].iov_base, iov[i].iov_len);
        witness->size += iov[i].iov_len;
    }
    return (ssize_t)(witness->size - before);
}

/* Some events are for everyone, and some have ids from the publisher. The state changes with each. */
static void publish_one(struct worker *worker, unsigned sequence)
{
    struct stage *stage = worker->stage;
    unsigned topic = schedule_below(&worker->random, TOPICS + 1);
    char data[64], id[32];
    struct sse_event event = {.data = {.ptr = data}};

    event.data.len = (size_t)snprintf(data, sizeof(data), "%s %u %u", topic < TOPICS ? names[topic] : "all",
                                      worker->number, sequence);
    if (schedule_one_in(&worker->random, 3)) {
        (void)snprintf(id, sizeof(id), "%u.%u", worker->number, sequence);
        event.id = sse_str(id);
    }
    pthread_mutex_lock(&stage->lock);
    stage->published[worker->number] = sequence + 1;
    require(sse_registry_publish(stage->registry, sse_str(topic < TOPICS ? names[topic] : NULL), &event,
                                 NULL) == 0);
    pthread_mutex_unlock(&stage->lock);
}

static void *publish(void *user)
{
    struct worker *worker = user;

    for (unsigned sequence = 0; sequence < EVENTS; sequence++) {
        /* However the threads are scheduled, each client connects while there are events to miss. */
        while (sequence == EVENTS / 2 && atomic_load(&worker->stage->come) < CLIENTS + READERS)
            sched_yield();
        publish_one(worker, sequence);
        schedule_pause(&worker->random);
    }
    atomic_fetch_sub(&worker->stage->publishing, 1);
    return NULL;
}

/* Some clients are served by a loop, some by their own thread. */
static struct sse_emitter_options options_of(struct worker *worker, struct sse_text *topics)
{
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &worker->stage->platform,
                                          .registry = worker->stage->registry,
                                          .topics = topics,
                                          .output = SSE_OUTPUT_PULL,
                                          .stall_ms = SSE_TIMER_OFF,
                                          .heartbeat_ms = SSE_TIMER_OFF};

    if (schedule_one_in(&worker->random, 2))
        options.loop = worker->stage->loops[worker->number % LOOPS].loop;
    for (unsigned i = 0; i < TOPICS; i++)
        if (worker->topics & 1u << i)
            topics[options.topic_count++] = sse_str(names[i]);
    return options;
}

static void note_visit(struct worker *worker)
{
    if (!worker->visits++)
        atomic_fetch_add(&worker->stage->come, 1);
}

static void connect_client(struct worker *worker)
{
    struct sse_text topics[TOPICS];
    struct sse_emitter_options options = options_of(worker, topics);
    struct sse_replay replay;
    char beginning[2];

    options.last_event_id = sse_str(worker->last_id);
    options.paused = schedule_one_in(&worker->random, 3);
    require(sse_emitter_new(&worker->emitter, &options, &replay) == 0);
    require(replay.outcome == SSE_REPLAY_COMPLETE);
    require(sse_emitter_read(worker->emitter, beginning, 2) == 2 && !memcmp(beginning, ":\n", 2));
    schedule_pause(&worker->random);
    if (options.paused)
        require(sse_emitter_start(worker->emitter, false) == 0);
    note_visit(worker);
}

static void remember_id(struct worker *worker, const char *event)
{
    const char *id = strstr(event, "\nid: ");
    size_t size;

    require(id != NULL);
    id += strlen("\nid: ");
    size = strcspn(id, "\n");
    require(size < sizeof(worker->last_id));
    memcpy(worker->last_id, id, size);
    worker->last_id[size] = '\0';
}

/* Returns false when there is nothing to read. */
static bool read_some(struct worker *worker, size_t most)
{
    char *at = worker->text + worker->size;
    const char *end;
    ssize_t size = sse_emitter_read(worker->emitter, at + worker->rest, most);

    require(size >= 0);
    worker->rest += (size_t)size;
    at[worker->rest] = '\0';
    require(worker->size + worker->rest + 4096 < TEXT_SIZE);
    while ((end = strstr(at, "\n\n"))) {
        size_t whole = (size_t)(end - at) + 2;

        remember_id(worker, at);
        worker->size += whole;
        worker->rest -= whole;
        at += whole;
    }
    return size > 0;
}

/* As after a broken connection, the received part of the last event is discarded. */
static void disconnect(struct worker *worker)
{
    worker->rest = 0;
    worker->text[worker->size] = '\0';
    sse_emitter_close(worker->emitter);
}

static void *come_and_go(void *user)
{
    struct worker *worker = user;

    while (atomic_load(&worker->stage->publishing)) {
        connect_client(worker);
        for (unsigned i = schedule_below(&worker->random, 8); i; i--)
            if (!read_some(worker, 1 + schedule_below(&worker->random, 300)))
                schedule_pause(&worker->random);
        disconnect(worker);
    }
    connect_client(worker);
    while (read_some(worker, 4096))
        ;
    disconnect(worker);
    return NULL;
}

/* Joins while the state is locked, and sends the state of that moment after unlocking. */
static void begin_with_state(struct worker *worker, unsigned *seen)
{
    struct sse_text topics[TOPICS];
    struct sse_emitter_options options = options_of(worker, topics);
    struct stage *stage = worker->stage;
    char text[64];
    struct sse_event event = {.data = {.ptr = text}, .type = sse_str("state"), .id = sse_str("")};

    options.paused = true;
    pthread_mutex_lock(&stage->lock);
    require(sse_emitter_new(&worker->emitter, &options, NULL) == 0);
    memcpy(seen, stage->published, sizeof(stage->published));
    pthread_mutex_unlock(&stage->lock);
    schedule_pause(&worker->random);
    event.data.len = (size_t)snprintf(text, sizeof(text), "%u %u", seen[0], seen[1]);
    require(sse_emitter_send(worker->emitter, &event) == 0);
    schedule_pause(&worker->random);
    require(sse_emitter_start(worker->emitter, false) == 0);
    note_visit(worker);
}

/* The state comes first, and then each later change once. */
static void check_changes(const char *text, unsigned *seen)
{
    char state[64];

    (void)snprintf(state, sizeof(state), ":\nevent: state\ndata: %u %u\nid: \n\n", seen[0], seen[1]);
    require(!strncmp(text, state, strlen(state)));
    for (const char *at = text + strlen(state); strstr(at, "\n\n"); at = strstr(at, "\n\n") + 2) {
        unsigned publisher, sequence;

        require(sscanf(at, "data: %*s %u %u\n", &publisher, &sequence) == 2 && publisher < PUBLISHERS);
        require(sequence == seen[publisher]++);
    }
}

static void *read_state(void *user)
{
    struct worker *worker = user;
    unsigned seen[PUBLISHERS];
    bool last = false;

    while (!last) {
        size_t size = 0;
        ssize_t part = 1;

        last = !atomic_load(&worker->stage->publishing);
        begin_with_state(worker, seen);
        for (unsigned i = schedule_below(&worker->random, 6) + 1; i && part >= 0; i--) {
            part = sse_emitter_read(worker->emitter, worker->text + size, TEXT_SIZE - 1 - size);
            require(part >= 0);
            size += (size_t)part;
            schedule_pause(&worker->random);
        }
        worker->text[size] = '\0';
        check_changes(worker->text, seen);
        sse_emitter_close(worker->emitter);
    }
    return NULL;
}

static bool is_for(const struct worker *worker, const char *event)
{
    require(!strncmp(event, "data: ", 6));
    if (!strncmp(event + 6, "all ", 4))
        return true;
    return worker->topics & 1u << (event[6] - 'a');
}

/* The bytes that the witness received of the client's topics. */
static void check(const struct worker *worker, const char *all)
{
    const char *at = worker->text;

    for (const char *event = all; *event;) {
        size_t size = (size_t)(strstr(event, "\n\n") - event) + 2;

        if (is_for(worker, event)) {
            require(!strncmp(at, event, size));
            at += size;
        }
        event += size;
    }
    require(!*at);
}

static void open_witness(struct stage *stage, unsigned number)
{
    struct witness *witness = &stage->witnesses[number];
    const struct sse_text topics[] = {sse_str(names[0]), sse_str(names[1]), sse_str(names[2])};
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .platform = &stage->platform,
                                                .registry = stage->registry,
                                                .loop = stage->loops[number].loop,
                                                .topics = topics,
                                                .topic_count = TOPICS,
                                                .output = SSE_OUTPUT_CALLBACK,
                                                .write = write_text,
                                                .stall_ms = SSE_TIMER_OFF,
                                                .heartbeat_ms = SSE_TIMER_OFF,
                                                .user = witness};

    witness->text = malloc(TEXT_SIZE);
    require(witness->text != NULL);
    require(sse_emitter_new(&witness->emitter, &options, NULL) == 0);
}

static void open_stage(struct stage *stage, uint64_t seed)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &stage->platform,
                                                 .history = {.events = 2 * PUBLISHERS * EVENTS},
                                                 .id_prefix = sse_str("E")};

    *stage = (struct stage){.seed = seed};
    fake_platform_init(&stage->fake);
    schedule_platform_init(&stage->platform, &stage->fake, true);
    pthread_mutex_init(&stage->lock, NULL);
    atomic_init(&stage->publishing, PUBLISHERS);
    atomic_init(&stage->come, 0);
    require(sse_registry_new(&stage->registry, &options) == 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        loop_thread_open(&stage->loops[i], &stage->platform, i % 2);
        open_witness(stage, i);
        loop_thread_start(&stage->loops[i]);
    }
}

/* When their loops are idle, the witnesses have received all published events. */
static void close_stage(struct stage *stage)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        loop_thread_stop(&stage->loops[i]);
        sse_emitter_close(stage->witnesses[i].emitter);
        stage->witnesses[i].text[stage->witnesses[i].size] = '\0';
    }
    for (unsigned i = 0; i < LOOPS; i++)
        loop_thread_close(&stage->loops[i]);
    require(sse_registry_wait(stage->registry, 0) == 0);
    sse_registry_unref(stage->registry);
    fake_platform_check_no_leak(&stage->fake);
    pthread_mutex_destroy(&stage->lock);
}

static unsigned run(uint64_t seed)
{
    static void *(*const works[])(void *) = {publish, come_and_go, read_state};
    struct stage stage;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    unsigned visits = 0;

    open_stage(&stage, seed);
    for (unsigned i = 0; i < THREADS; i++) {
        bool is_client = i >= PUBLISHERS && i < PUBLISHERS + CLIENTS;
        unsigned work = i < PUBLISHERS ? 0 : is_client ? 1 : 2;

        workers[i] = (struct worker){.stage = &stage,
                                     .number = i,
                                     .topics = is_client ? (i - PUBLISHERS) * 2 + 1 : 7,
                                     .text = malloc(TEXT_SIZE),
                                     .last_id = "E-0000000000000000"};
        require(workers[i].text != NULL);
        schedule_random_init(&workers[i].random, seed, i);
        require(pthread_create(&threads[i], NULL, works[work], &workers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_stage(&stage);
    require(!strcmp(stage.witnesses[0].text, stage.witnesses[1].text));
    for (unsigned i = 0; i < THREADS; i++) {
        if (i >= PUBLISHERS && i < PUBLISHERS + CLIENTS)
            check(&workers[i], stage.witnesses[0].text + strlen(":\n"));
        visits += workers[i].visits;
        free(workers[i].text);
    }
    for (unsigned i = 0; i < LOOPS; i++)
        free(stage.witnesses[i].text);
    return visits;
}

/* Fault 38. Fault 48. */
static void nothing_is_lost_between_two_connections(void **state)
{
    uint64_t seed = schedule_seed();
    unsigned rounds = schedule_rounds(60);

    (void)state;
    for (unsigned round = 0; round < rounds; round++)
        require(run(seed + round) >= 2 * CLIENTS + READERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_between_two_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

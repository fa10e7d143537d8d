/* SPDX-License-Identifier: MIT */
#include "racing_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* More bytes than all queues together need. */
#define SETTLING_MAX 100000

const struct sse_text stage_topics[STAGE_TOPICS] = {{"news", 4}, {"chat/1", 6}, {"user:42", 7}, {"x", 1}};

static _Thread_local struct stage_worker *self;
static struct racing_stage *present; /* the threads of the loops */

struct stage_worker *stage_self(void)
{
    for (unsigned i = 0; !self && i < STAGE_LOOPS; i++)
        if (loop_thread_is_mine(&present->loops[i]))
            self = &present->workers[STAGE_WORKERS + STAGE_WAITERS + i];
    return self;
}

void racing_stage_enter(struct stage_worker *worker)
{
    self = worker;
}

struct racing_client *stage_borrow(struct stage_slot *slot)
{
    struct racing_client *client;

    pthread_mutex_lock(&slot->lock);
    client = slot->client;
    if (client)
        sse_emitter_ref(client->emitter);
    pthread_mutex_unlock(&slot->lock);
    return client;
}

void stage_give_back(struct racing_client *client)
{
    if (client)
        sse_emitter_unref(client->emitter);
}

struct racing_client *stage_exchange(struct stage_slot *slot, struct racing_client *client)
{
    struct racing_client *old;

    pthread_mutex_lock(&slot->lock);
    old = slot->client;
    slot->client = client;
    pthread_mutex_unlock(&slot->lock);
    return old;
}

void stage_close_client(struct racing_client *client)
{
    struct racing_stage *stage = stage_self()->stage;

    for (unsigned i = 0; i < STAGE_SLOTS; i++) {
        struct stage_slot *slot = &stage->slots[i];
        bool found;

        pthread_mutex_lock(&slot->lock);
        found = slot->client == client;
        if (found)
            slot->client = NULL;
        pthread_mutex_unlock(&slot->lock);
        if (found)
            racing_client_close(client, !stage_self()->in_output);
    }
}

struct racing_client *stage_add_client(struct racing_plan *plan)
{
    struct racing_stage *stage = stage_self()->stage;
    struct racing_client *client;
    int error;

    plan->platform = &stage->platform;
    plan->seed = schedule_bits(&stage_self()->random);
    plan->trap = stage->trap[0];
    plan->visit = stage->callbacks.visit;
    error = racing_client_new(&client, plan);
    require(error == 0 || (error == -ENOMEM && stage->stingy));
    pthread_mutex_lock(&stage->clients_lock);
    require(stage->client_count < STAGE_CLIENTS_MAX);
    stage->clients[stage->client_count++] = client;
    pthread_mutex_unlock(&stage->clients_lock);
    return error ? NULL : client;
}

void racing_stage_run(struct racing_stage *stage, void *(*work)(void *worker), void *(*wait)(void *worker))
{
    for (unsigned i = 0; i < STAGE_LOOPS; i++)
        loop_thread_start(&stage->loops[i]);
    for (unsigned i = 0; i < STAGE_WORKERS + STAGE_WAITERS; i++)
        if (i != STAGE_WORKERS - 1)
            require(!pthread_create(&stage->workers[i].thread, NULL, i < STAGE_WORKERS ? work : wait,
                                    &stage->workers[i]));
    for (unsigned i = 0; i < STAGE_WORKERS - 1; i++)
        pthread_join(stage->workers[i].thread, NULL);
    atomic_store(&stage->stopping, true);
    for (unsigned i = 0; i < STAGE_WAITERS; i++) {
        struct racing_client *client = stage_borrow(&stage->slots[STAGE_SLOTS + STAGE_RELIABLE + i]);

        if (client)
            require(sse_emitter_interrupt(client->emitter) == 0);
        stage_give_back(client);
        pthread_join(stage->workers[STAGE_WORKERS + i].thread, NULL);
    }
    for (unsigned i = 0; i < STAGE_LOOPS; i++)
        loop_thread_stop(&stage->loops[i]);
    stage->calm = true;
    /* A callback of a loop that stopped later may have published to the emitters of one that stopped before. */
    for (unsigned i = 0; i < STAGE_LOOPS; i++)
        loop_thread_settle(&stage->loops[i]);
    fake_platform_fail_at(&stage->fake, 0, false);
}

static void init_workers(struct racing_stage *stage, uint64_t seed)
{
    for (unsigned i = 0; i < STAGE_THREADS; i++) {
        struct stage_worker *worker = &stage->workers[i];

        worker->stage = stage;
        worker->number = i;
        worker->visits = STAGE_VISITS_MAX;
        worker->events = calloc(NUMBERED_SEQUENCE_MAX, sizeof(struct stage_event));
        require(worker->events != NULL);
        schedule_random_init(&worker->random, seed, i);
    }
    present = stage;
    self = &stage->workers[STAGE_WORKERS - 1];
    self->visits = 0;
}

static void add_reliable(struct racing_stage *stage)
{
    static const enum sse_output outputs[STAGE_RELIABLE] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_FD,
                                                            SSE_OUTPUT_PULL, SSE_OUTPUT_FD};

    for (unsigned i = 0; i < STAGE_RELIABLE; i++) {
        struct racing_plan plan = {
            .output = outputs[i],
            .loop = &stage->loops[i % STAGE_LOOPS],
            .registry = stage->registries[0],
            .topics = stage_topics,
            .topic_count = STAGE_TOPICS,
            .chunked = schedule_one_in(&self->random, 2),
            .has_head = schedule_one_in(&self->random, 2),
            .reliable = true,
        };

        (void)stage_exchange(&stage->slots[STAGE_SLOTS + i], stage_add_client(&plan));
    }
}

static void open_library(struct racing_stage *stage)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &stage->platform};

    for (size_t i = 0; i < STAGE_REGISTRIES; i++)
        require(sse_registry_new(&stage->registries[i], &options) == 0);
    for (size_t i = 0; i < STAGE_LOOPS; i++)
        loop_thread_open(&stage->loops[i], &stage->platform, i % 2);
}

struct racing_stage *racing_stage_open(uint64_t seed, enum stage_memory memory,
                                       const struct stage_callbacks *callbacks)
{
    struct racing_stage *stage = calloc(1, sizeof(*stage));

    require(stage != NULL);
    stage->callbacks = *callbacks;
    stage->stingy = memory == STAGE_STINGY;
    fake_platform_init(&stage->fake);
    schedule_platform_init(&stage->platform, &stage->fake, memory != STAGE_MALLOC);
    for (size_t i = 0; i < STAGE_PLACES; i++)
        pthread_mutex_init(&stage->slots[i].lock, NULL);
    pthread_mutex_init(&stage->clients_lock, NULL);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, stage->trap) == 0);
    require(fcntl(stage->trap[1], F_SETFL, O_NONBLOCK) == 0);
    init_workers(stage, seed);
    open_library(stage);
    if (!stage->stingy)
        add_reliable(stage);
    return stage;
}

static void turn_loops(struct racing_stage *stage)
{
    for (unsigned i = 0; i < STAGE_LOOPS; i++)
        loop_thread_turn(&stage->loops[i]);
}

/* The threads of the loops have run until no work was left, so every notification has been made. */
static void check_told(struct racing_stage *stage)
{
    for (unsigned i = 0; i < STAGE_PLACES; i++)
        if (stage->slots[i].client)
            racing_client_check_told(stage->slots[i].client);
}

static bool has_ended(struct racing_client *client)
{
    struct sse_emitter_info info;

    require(sse_emitter_get_info(client->emitter, &info, sizeof(info)) == 0);
    return info.state == SSE_STATE_CLOSED;
}

/* The reliable clients receive everything that is left, and end gracefully. */
static void finish_reliable(struct racing_stage *stage)
{
    for (unsigned i = STAGE_SLOTS; i < STAGE_SLOTS + STAGE_RELIABLE; i++) {
        struct racing_client *client = stage->slots[i].client;

        if (!client)
            continue;
        racing_client_be_generous(client);
        require(sse_emitter_complete(client->emitter) == 0);
        for (unsigned turns = 0; !has_ended(client); turns++) {
            require(turns < SETTLING_MAX);
            (void)racing_client_pump(client, &self->random);
            turn_loops(stage);
        }
        turn_loops(stage);
        require(client->completion.reason == SSE_REASON_COMPLETED);
        racing_client_close(stage_exchange(&stage->slots[i], NULL), true);
    }
}

static int end_member(struct sse_emitter *emitter, void *user)
{
    (void)user;
    (void)sse_emitter_abort(emitter, -ECANCELED);
    return 0;
}

static void empty_registry(struct sse_registry *registry)
{
    require(sse_registry_each(registry, (struct sse_text){NULL, 0}, end_member, NULL) == 0);
    require(sse_registry_count(registry, (struct sse_text){NULL, 0}) == 0);
    for (size_t i = 0; i < STAGE_TOPICS; i++)
        require(sse_registry_count(registry, stage_topics[i]) == 0);
}

static void close_rest(struct racing_stage *stage)
{
    for (unsigned i = 0; i < STAGE_SLOTS; i++) {
        struct racing_client *client = stage_exchange(&stage->slots[i], NULL);

        if (client)
            racing_client_close(client, true);
    }
}

static void close_loops(struct racing_stage *stage)
{
    for (unsigned i = 0; i < STAGE_LOOPS; i++)
        loop_thread_close(&stage->loops[i]);
}

static void unref_registries(struct racing_stage *stage)
{
    for (size_t i = 0; i < STAGE_REGISTRIES; i++)
        sse_registry_unref(stage->registries[i]);
}

/* Frees registries, loops and clients in every order. */
static void finish_others(struct racing_stage *stage)
{
    unsigned choice = schedule_below(&self->random, 4);

    for (size_t i = 0; choice == 0 && i < STAGE_REGISTRIES; i++)
        empty_registry(stage->registries[i]);
    if (choice == 1)
        unref_registries(stage);
    if (choice == 2) {
        close_loops(stage);
        close_rest(stage);
    } else {
        close_rest(stage);
        turn_loops(stage);
        close_loops(stage);
    }
    for (size_t i = 0; choice != 1 && i < STAGE_REGISTRIES; i++)
        require(sse_registry_wait(stage->registries[i], 0) == 0);
    if (choice != 1)
        unref_registries(stage);
}

static bool is_for(const struct stage_event *event, const struct racing_client *client)
{
    if (!event->accepted)
        return false;
    if (event->key.target == NUMBERED_TO_ONE)
        return event->recipient == client;
    return event->key.registry == 0;
}

/* A reliable client has received all events that were accepted for it, and nothing else. */
static void check_complete(const struct racing_stage *stage, const struct racing_client *client,
                           const struct numbered_list *list)
{
    size_t expected = 0;

    for (unsigned i = 0; i < STAGE_THREADS; i++)
        for (unsigned k = 0; k < stage->workers[i].event_count; k++)
            expected += is_for(&stage->workers[i].events[k], client);
    require(list->count == expected);
}

static void check_clients(struct racing_stage *stage)
{
    struct numbered_list *lists = calloc(stage->client_count + 1, sizeof(*lists));

    require(lists != NULL);
    for (size_t i = 0; i < stage->client_count; i++) {
        racing_client_check(stage->clients[i], &lists[i]);
        if (stage->clients[i]->plan.reliable)
            check_complete(stage, stage->clients[i], &lists[i]);
    }
    for (unsigned i = 0; i < STAGE_REGISTRIES; i++)
        require(numbered_lists_agree(lists, stage->client_count, i));
    for (size_t i = 0; i < stage->client_count; i++)
        numbered_list_free(&lists[i]);
    free(lists);
}

static void check_trap(const struct racing_stage *stage)
{
    char bytes[64];

    require(recv(stage->trap[1], bytes, sizeof(bytes), 0) < 0 && errno == EAGAIN);
}

static void free_stage(struct racing_stage *stage)
{
    for (size_t i = 0; i < stage->client_count; i++)
        racing_client_free(stage->clients[i]);
    for (size_t i = 0; i < STAGE_PLACES; i++)
        pthread_mutex_destroy(&stage->slots[i].lock);
    pthread_mutex_destroy(&stage->clients_lock);
    for (unsigned i = 0; i < STAGE_THREADS; i++)
        free(stage->workers[i].events);
    close(stage->trap[0]);
    close(stage->trap[1]);
    self = NULL;
    free(stage);
}

void racing_stage_close(struct racing_stage *stage)
{
    check_told(stage);
    finish_reliable(stage);
    finish_others(stage);
    check_clients(stage);
    check_trap(stage);
    fake_platform_check_no_leak(&stage->fake);
    free_stage(stage);
}

/* SPDX-License-Identifier: MIT */
#include "racing_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const stage_topics[STAGE_TOPICS] = {"news", "chat/1", "user:42", "x"};

_Thread_local struct stage_worker *stage_self;

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

void stage_drop(struct racing_client *client)
{
    for (unsigned i = 0; i < STAGE_SLOTS; i++) {
        struct stage_slot *slot = &stage_self->stage->slots[i];
        bool found;

        pthread_mutex_lock(&slot->lock);
        found = slot->client == client;
        if (found)
            slot->client = NULL;
        pthread_mutex_unlock(&slot->lock);
        if (found)
            sse_emitter_unref(client->emitter);
    }
}

/* With `clients_lock` held. */
static unsigned number_of(const struct racing_client *client)
{
    unsigned number = 0;

    while (stage_self->stage->clients[number] != client)
        number++;
    return number;
}

void stage_detach(struct racing_client *client)
{
    struct racing_stage *stage = stage_self->stage;
    unsigned number;

    require(sse_emitter_detach(client->emitter) == 0);
    if (stage_self->in_sink)
        return;
    racing_client_gone(client);
    pthread_mutex_lock(&stage->clients_lock);
    number = number_of(client);
    if (!stage->detached_at[number])
        stage->detached_at[number] = 1 + atomic_fetch_add(&stage->detaches, 1);
    pthread_mutex_unlock(&stage->clients_lock);
}

unsigned stage_detached_at(const struct racing_client *client)
{
    struct racing_stage *stage = stage_self->stage;
    unsigned detached_at;

    pthread_mutex_lock(&stage->clients_lock);
    detached_at = stage->detached_at[number_of(client)];
    pthread_mutex_unlock(&stage->clients_lock);
    return detached_at;
}

struct racing_client *stage_add_client(struct racing_plan *plan)
{
    struct racing_stage *stage = stage_self->stage;
    struct racing_client *client;
    int error;

    plan->host = &stage->host;
    plan->seed = schedule_bits(&stage_self->random);
    plan->trap = stage->trap[0];
    plan->visit = stage->callbacks.visit;
    error = racing_client_new(&client, plan);
    require(error == 0 || error == -EPIPE || error == -ECONNRESET || error == -EIO ||
            (error == -ENOMEM && stage->stingy));
    pthread_mutex_lock(&stage->clients_lock);
    require(stage->client_count < STAGE_CLIENTS_MAX);
    stage->clients[stage->client_count++] = client;
    pthread_mutex_unlock(&stage->clients_lock);
    return error ? NULL : client;
}

bool stage_note_waiting(struct stage_waiter *waiter, struct sse_emitter *emitter)
{
    bool closing;

    pthread_mutex_lock(&waiter->lock);
    closing = waiter->closing;
    waiter->emitter = emitter;
    pthread_mutex_unlock(&waiter->lock);
    return !closing;
}

static void stop_waiter(struct stage_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->closing = true;
    if (waiter->emitter)
        sse_emitter_interrupt(waiter->emitter);
    pthread_mutex_unlock(&waiter->lock);
    pthread_join(waiter->worker.thread, NULL);
}

void racing_stage_run(struct racing_stage *stage, void *(*work)(void *worker), void *(*wait)(void *waiter))
{
    for (unsigned i = 0; i < STAGE_WAITERS; i++)
        require(!pthread_create(&stage->waiters[i].worker.thread, NULL, wait, &stage->waiters[i]));
    for (unsigned i = 0; i < STAGE_WORKERS - 1; i++)
        require(!pthread_create(&stage->workers[i].thread, NULL, work, &stage->workers[i]));
    for (unsigned i = 0; i < STAGE_WORKERS - 1; i++)
        pthread_join(stage->workers[i].thread, NULL);
    for (unsigned i = 0; i < STAGE_WAITERS; i++)
        stop_waiter(&stage->waiters[i]);
    stage->calm = true;
    fake_host_fail_at(&stage->fake, 0, false);
}

static void init_worker(struct racing_stage *stage, struct stage_worker *worker, unsigned number,
                        uint64_t seed)
{
    worker->stage = stage;
    worker->number = number;
    worker->visits = STAGE_VISITS_MAX;
    worker->events = calloc(NUMBERED_SEQUENCE_MAX, sizeof(struct stage_event));
    require(worker->events != NULL);
    schedule_random_init(&worker->random, seed, number);
}

static void init_workers(struct racing_stage *stage, uint64_t seed)
{
    for (unsigned i = 0; i < STAGE_WORKERS; i++)
        init_worker(stage, &stage->workers[i], i, seed);
    for (unsigned i = 0; i < STAGE_WAITERS; i++) {
        init_worker(stage, &stage->waiters[i].worker, STAGE_WORKERS + i, seed);
        pthread_mutex_init(&stage->waiters[i].lock, NULL);
    }
    stage_self = &stage->workers[STAGE_WORKERS - 1];
    stage_self->visits = 0;
}

static void add_reliable(struct racing_stage *stage)
{
    struct sse_str topics[STAGE_TOPICS];

    for (size_t i = 0; i < STAGE_TOPICS; i++)
        topics[i] = sse_str(stage_topics[i]);
    for (unsigned i = 0; i < STAGE_RELIABLE; i++) {
        struct racing_plan plan = {
            .drain = (enum sse_drain)(1 + i),
            .chunked = schedule_one_in(&stage_self->random, 2),
            .has_head = schedule_one_in(&stage_self->random, 2),
            .reliable = true,
        };
        struct racing_client *client = stage_add_client(&plan);

        require(sse_registry_subscribe(stage->registries[0], client->emitter, topics, STAGE_TOPICS,
                                       sse_str("7"), NULL) == 0);
        (void)stage_exchange(&stage->slots[STAGE_SLOTS + i], client);
    }
}

static void open_registries(struct racing_stage *stage)
{
    const struct sse_registry_options options = {
        .size = sizeof(options),
        .host = &stage->host,
        .on_wake = stage->callbacks.on_wake,
        .user = stage,
    };

    for (size_t i = 0; i < STAGE_REGISTRIES; i++)
        require(sse_registry_new(&stage->registries[i], &options) == 0);
}

struct racing_stage *racing_stage_open(uint64_t seed, enum stage_memory memory,
                                       const struct stage_callbacks *callbacks)
{
    struct racing_stage *stage = calloc(1, sizeof(*stage));

    require(stage != NULL);
    stage->callbacks = *callbacks;
    stage->stingy = memory == STAGE_STINGY;
    fake_host_init(&stage->fake);
    schedule_host_init(&stage->host, &stage->fake, memory != STAGE_MALLOC);
    for (size_t i = 0; i < STAGE_SLOTS + STAGE_RELIABLE; i++)
        pthread_mutex_init(&stage->slots[i].lock, NULL);
    pthread_mutex_init(&stage->clients_lock, NULL);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, stage->trap) == 0);
    require(fcntl(stage->trap[1], F_SETFL, O_NONBLOCK) == 0);
    init_workers(stage, seed);
    open_registries(stage);
    if (!stage->stingy)
        add_reliable(stage);
    return stage;
}

/* The reliable ones receive all that is left, and end well. */
static void finish_reliable(struct racing_stage *stage)
{
    for (unsigned i = STAGE_SLOTS; i < STAGE_SLOTS + STAGE_RELIABLE; i++) {
        struct racing_client *client = stage->slots[i].client;

        if (!client)
            continue;
        racing_client_drain(client, &stage_self->random);
        require(sse_emitter_complete(client->emitter) == 0);
        racing_client_drain(client, &stage_self->random);
        stage_give_back(stage_exchange(&stage->slots[i], NULL));
        require(client->completion.reason == SSE_REASON_COMPLETED);
    }
}

static int end_member(struct sse_emitter *emitter, void *user)
{
    (void)user;
    (void)sse_emitter_complete_with_error(emitter, -ECANCELED);
    return 0;
}

/* Nobody but a registry may know some of the emitters any more. */
static void empty_registry(struct sse_registry *registry)
{
    struct sse_emitter *emitter;

    require(sse_registry_each(registry, sse_str(NULL), end_member, NULL) == 0);
    require(sse_registry_count(registry, sse_str(NULL)) == 0);
    for (size_t i = 0; i < STAGE_TOPICS; i++)
        require(sse_registry_count(registry, sse_str(stage_topics[i])) == 0);
    while ((emitter = sse_registry_next_ready(registry)))
        sse_emitter_unref(emitter);
    require(sse_registry_next_timeout(registry) == -1);
}

/* Some registries go before their emitters: these are not ended by that. */
static void finish_others(struct racing_stage *stage)
{
    unsigned choice = schedule_below(&stage_self->random, 3);

    for (size_t i = 0; choice == 0 && i < STAGE_REGISTRIES; i++)
        empty_registry(stage->registries[i]);
    for (size_t i = 0; choice == 1 && i < STAGE_REGISTRIES; i++)
        sse_registry_unref(stage->registries[i]);
    for (unsigned i = 0; i < STAGE_SLOTS; i++) {
        struct racing_client *client = stage_exchange(&stage->slots[i], NULL);

        if (client && schedule_one_in(&stage_self->random, 2))
            stage_detach(client);
        stage_give_back(client);
    }
    for (size_t i = 0; choice != 1 && i < STAGE_REGISTRIES; i++)
        sse_registry_unref(stage->registries[i]);
}

static bool is_for(const struct stage_event *event, const struct racing_client *client)
{
    if (!event->accepted)
        return false;
    if (event->key.target == NUMBERED_TO_ONE)
        return event->recipient == client;
    return event->key.registry == 0;
}

/* A reliable client has everything that was accepted for it, and nothing else. */
static void check_complete(const struct racing_stage *stage, const struct racing_client *client,
                           const struct numbered_list *list)
{
    size_t expected = 0;

    for (unsigned i = 0; i < STAGE_WORKERS + STAGE_WAITERS; i++) {
        const struct stage_worker *worker =
            i < STAGE_WORKERS ? &stage->workers[i] : &stage->waiters[i - STAGE_WORKERS].worker;

        for (unsigned k = 0; k < worker->event_count; k++)
            expected += is_for(&worker->events[k], client);
    }
    require(list->count == expected);
}

static void check_trap(const struct racing_stage *stage)
{
    char bytes[64];

    require(recv(stage->trap[1], bytes, sizeof(bytes), 0) < 0 && errno == EAGAIN);
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

static void check_told(struct racing_stage *stage)
{
    for (unsigned i = 0; i < STAGE_SLOTS + STAGE_RELIABLE; i++) {
        if (stage->slots[i].client)
            racing_client_check_told(stage->slots[i].client);
    }
}

static void free_stage(struct racing_stage *stage)
{
    for (size_t i = 0; i < stage->client_count; i++)
        racing_client_free(stage->clients[i]);
    for (size_t i = 0; i < STAGE_SLOTS + STAGE_RELIABLE; i++)
        pthread_mutex_destroy(&stage->slots[i].lock);
    pthread_mutex_destroy(&stage->clients_lock);
    for (unsigned i = 0; i < STAGE_WORKERS; i++)
        free(stage->workers[i].events);
    for (unsigned i = 0; i < STAGE_WAITERS; i++) {
        free(stage->waiters[i].worker.events);
        pthread_mutex_destroy(&stage->waiters[i].lock);
    }
    close(stage->trap[0]);
    close(stage->trap[1]);
    free(stage);
}

void racing_stage_close(struct racing_stage *stage)
{
    check_told(stage);
    finish_reliable(stage);
    finish_others(stage);
    check_clients(stage);
    check_trap(stage);
    fake_host_check_no_leak(&stage->fake);
    free_stage(stage);
}

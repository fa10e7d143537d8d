/* SPDX-License-Identifier: MIT */
/* Threads that do everything at once to the same emitters and registries, in random order. */
#include "racing_stage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEPS 120
#define DEPTH_MAX 3

static unsigned below(unsigned bound)
{
    return schedule_below(&stage_self->random, bound);
}

static bool one_in(unsigned count)
{
    return schedule_one_in(&stage_self->random, count);
}

/* Most of it happens in the first. */
static unsigned any_registry(void)
{
    return one_in(4);
}

/* The next event of this thread, or NULL when it has published enough. */
static struct stage_event *next_event(unsigned registry, unsigned target)
{
    struct stage_worker *worker = stage_self;
    struct stage_event *event = &worker->events[worker->event_count];

    if (worker->event_count == NUMBERED_SEQUENCE_MAX)
        return NULL;
    event->key = (struct numbered_key){worker->number, worker->event_count, registry, target};
    worker->event_count++;
    return event;
}

static bool lacked_memory(int error)
{
    return error == -ENOMEM && stage_self->stage->stingy;
}

static int publish_message(struct sse_registry *registry, unsigned target, const struct sse_event *event)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_message *message;
    int error = sse_message_new(&message, event, 1, &stage_self->stage->host);

    if (error)
        return error;
    if (target == NUMBERED_TO_ALL)
        error = sse_registry_broadcast_message(registry, message, &delivery);
    else
        error = sse_registry_publish_message(registry, sse_str(stage_topics[target]), message, &delivery);
    sse_message_unref(message);
    return error;
}

static int publish_event(struct sse_registry *registry, unsigned target, const struct sse_event *event)
{
    if (target == NUMBERED_TO_ALL)
        return sse_registry_broadcast(registry, event, NULL);
    return sse_registry_publish(registry, sse_str(stage_topics[target]), event, NULL);
}

static void publish(void)
{
    unsigned number = any_registry();
    unsigned topic = below(STAGE_TOPICS);
    struct stage_event *noted = next_event(number, one_in(4) ? NUMBERED_TO_ALL : topic);
    struct sse_registry *registry = stage_self->stage->registries[number];
    struct numbered_event text;
    struct sse_event event;
    int error;

    if (!noted)
        return;
    event = numbered_event(&noted->key, &text);
    if (one_in(3))
        error = publish_message(registry, noted->key.target, &event);
    else
        error = publish_event(registry, noted->key.target, &event);
    require(!error || lacked_memory(error));
    noted->accepted = !error;
}

static int send_message(struct racing_client *client, const struct sse_event *event)
{
    struct sse_message *message;
    int error = sse_message_new(&message, event, 1, &stage_self->stage->host);

    if (error)
        return error;
    error = sse_emitter_send_message(client->emitter, message);
    sse_message_unref(message);
    return error;
}

static void send_to(struct racing_client *client)
{
    struct stage_event *noted = next_event(0, NUMBERED_TO_ONE);
    struct numbered_event text;
    struct sse_event event;
    int error;

    if (!noted)
        return;
    event = numbered_event(&noted->key, &text);
    error = one_in(4) ? send_message(client, &event) : sse_emitter_send(client->emitter, &event);
    noted->recipient = client;
    noted->accepted = !error;
    require(error <= 0 && error != -EINVAL && error != -EMSGSIZE);
    require(!error || !client->plan.reliable);
}

/* A detach from inside a sink could wait for a thread that waits for this one. */
static void end(struct racing_client *client, bool may_detach)
{
    static const int errors[] = {-EPIPE, -ECANCELED, -EIO, -ECONNRESET};
    unsigned choice = below(4);
    int error = 0;

    if (client->plan.reliable)
        return;
    if (choice == 0)
        error = sse_emitter_complete(client->emitter);
    else if (choice == 1)
        error = sse_emitter_complete_with_error(client->emitter, errors[below(4)]);
    else if (choice == 2 && may_detach)
        stage_detach(client);
    else
        stage_drop(client);
    require(error == 0 || error == -EALREADY);
}

static void end_another(void)
{
    struct racing_client *client = stage_borrow(&stage_self->stage->slots[below(STAGE_SLOTS)]);

    if (client)
        end(client, !stage_self->in_sink);
    stage_give_back(client);
}

static void subscribe(struct racing_client *client)
{
    struct sse_registry *registry = stage_self->stage->registries[any_registry()];
    struct sse_str topics[2];
    struct sse_replay replay = {.size = sizeof(replay)};
    int error;

    if (client->plan.reliable)
        return;
    for (size_t i = 0; i < 2; i++)
        topics[i] = sse_str(stage_topics[below(STAGE_TOPICS)]);
    error = sse_registry_subscribe(registry, client->emitter, topics, 2, sse_str(NULL), &replay);
    require(error <= 0 && error != -EINVAL && (error != -ENOMEM || lacked_memory(error)));
    if (one_in(3))
        (void)sse_registry_unsubscribe(registry, client->emitter, topics, 1);
}

static int visit_member(struct sse_emitter *emitter, void *user)
{
    (void)user;
    (void)sse_emitter_next_timeout(emitter);
    return one_in(4);
}

static void move(struct racing_client *client)
{
    struct sse_registry *from = stage_self->stage->registries[0];
    struct sse_registry *to = stage_self->stage->registries[1];

    if (client->plan.reliable)
        return;
    if (one_in(2)) {
        from = stage_self->stage->registries[1];
        to = stage_self->stage->registries[0];
    }
    if (!one_in(4))
        (void)sse_registry_remove(from, client->emitter);
    schedule_pause(&stage_self->random);
    (void)sse_registry_add(to, client->emitter);
    (void)sse_registry_each(from, sse_str(NULL), visit_member, NULL);
    (void)sse_registry_count(from, sse_str(stage_topics[0]));
}

/* Others may hold and release the same registry meanwhile. */
static void hold(void)
{
    struct sse_registry *registry = stage_self->stage->registries[any_registry()];

    require(sse_registry_hold(registry) == 0);
    for (unsigned count = below(4); count; count--)
        publish();
    schedule_pause(&stage_self->random);
    require(sse_registry_release(registry) == 0);
}

static void look(struct racing_client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    require(sse_emitter_info(client->emitter, &info) == 0);
    require((info.state == SSE_STATE_CLOSED) == (info.reason != SSE_REASON_NONE));
    require(info.state == SSE_STATE_CLOSED || info.error == 0);
    require((info.queued_bytes == 0) == (info.queued_messages == 0));
    require(sse_emitter_user(client->emitter) == client);
}

static void pop(void)
{
    struct racing_stage *stage = stage_self->stage;
    unsigned detaches = atomic_load(&stage->detaches);
    struct sse_emitter *emitter = sse_registry_next_ready(stage->registries[any_registry()]);
    struct racing_client *client;
    unsigned detached_at;

    if (!emitter)
        return;
    client = sse_emitter_user(emitter);
    detached_at = stage_detached_at(client);
    require(!detached_at || detached_at > detaches);
    (void)racing_client_pump(client, &stage_self->random);
    sse_emitter_unref(emitter);
}

static void tick(struct racing_client *client)
{
    struct racing_stage *stage = stage_self->stage;

    fake_host_advance_ms(&stage->fake, below(60));
    require(sse_registry_tick(stage->registries[0]) == 0);
    require(sse_registry_tick(stage->registries[1]) == 0);
    require(sse_registry_next_timeout(stage->registries[any_registry()]) >= -1);
    if (client)
        require(sse_emitter_tick(client->emitter) == 0);
    if (stage->stingy)
        fake_host_fail_at(&stage->fake, 1 + below(20), false);
}

static void take_turns(struct racing_client *client)
{
    int result;

    if (client && client->plan.drain == SSE_DRAIN_PULL && one_in(8)) {
        require(sse_emitter_interrupt(client->emitter) == 0);
    } else if (client) {
        result = racing_client_pump(client, &stage_self->random);
        require(result != -EINVAL && result != -EINTR && result != -EALREADY);
    }
    pop();
}

/* The reference that a call further out came with, or the one of the client's place. */
static void drop(struct racing_client *client)
{
    struct racing_client *lent = stage_self->lent;

    stage_self->lent = NULL;
    if (lent)
        sse_emitter_unref(lent->emitter);
    else
        stage_drop(client);
}

/* A reference that a hook takes keeps the emitter, even if the last one had been given back. */
static void keep(struct racing_client *client)
{
    if (client->plan.reliable)
        return;
    sse_emitter_ref(client->emitter);
    stage_give_back(stage_exchange(&stage_self->stage->slots[below(STAGE_SLOTS)], client));
}

/* What callbacks do; `client` is NULL where its emitter is not there yet, or not any more. */
static void act(struct racing_client *client)
{
    switch (below(client ? 12 : 4)) {
    case 0:
        publish();
        break;
    case 1:
        hold();
        break;
    case 2:
        end_another();
        break;
    case 3:
        pop();
        break;
    case 4:
        send_to(client);
        break;
    case 5:
        subscribe(client);
        break;
    case 6:
        move(client);
        break;
    case 7:
        end(client, true);
        break;
    case 8:
        take_turns(client);
        break;
    case 9:
        drop(client);
        break;
    case 10:
        require(sse_emitter_tick(client->emitter) == 0);
        break;
    default:
        keep(client);
        break;
    }
}

static bool may_act(unsigned one_in_count)
{
    struct stage_worker *worker = stage_self;

    if (worker->stage->calm || !worker->visits || worker->depth == DEPTH_MAX || !one_in(one_in_count))
        return false;
    worker->visits--;
    return true;
}

static void visit(struct racing_client *client, enum racing_place place)
{
    bool in_sink = place == IN_WRITE || place == IN_READY || place == IN_BLOCKED;
    bool alive = place != IN_RELEASE && atomic_load_explicit(&client->made, memory_order_relaxed);

    if (!may_act(6))
        return;
    stage_self->depth++;
    stage_self->in_sink += in_sink;
    act(alive ? client : NULL);
    stage_self->in_sink -= in_sink;
    stage_self->depth--;
}

static void on_wake(struct sse_registry *registry, void *user)
{
    struct racing_stage *stage = user;
    unsigned number = registry == stage->registries[1];

    require(registry == stage->registries[number]);
    require(!atomic_exchange_explicit(&stage->waking[number], true, memory_order_relaxed));
    stage->wakes[number]++;
    if (may_act(4)) {
        stage_self->depth++;
        require(sse_registry_next_timeout(registry) >= -1);
        pop();
        stage_self->depth--;
    }
    atomic_store_explicit(&stage->waking[number], false, memory_order_relaxed);
}

/* A client comes, and the one in its place loses its reference. */
static void replace(void)
{
    unsigned choice = below(8);
    struct racing_plan plan = {
        .drain = (enum sse_drain)(1 + below(3)),
        .chunked = choice & 1,
        .has_head = choice & 2,
        .timers = choice & 4,
    };
    struct racing_client *client = stage_add_client(&plan);

    if (!client)
        return;
    if (!one_in(4))
        subscribe(client);
    stage_give_back(stage_exchange(&stage_self->stage->slots[below(STAGE_SLOTS)], client));
}

/* One call whose hooks may take away the reference that it was made with. */
static void call_with_lent(struct racing_client *client)
{
    unsigned choice = below(client->plan.reliable ? 3 : 5);

    stage_self->lent = client;
    if (choice == 0)
        send_to(client);
    else if (choice == 1)
        require(sse_emitter_tick(client->emitter) == 0);
    else if (choice == 2)
        (void)sse_emitter_flush(client->emitter);
    else if (choice == 3)
        (void)sse_emitter_complete(client->emitter);
    else
        (void)sse_emitter_complete_with_error(client->emitter, -EPIPE);
}

/* What callbacks of this do, they do without it. */
static void give_lent_back(void)
{
    struct racing_client *lent = stage_self->lent;

    stage_self->lent = NULL;
    stage_give_back(lent);
}

static void come_and_go(struct racing_client *client)
{
    if (client && one_in(2))
        move(client);
    else if (client)
        subscribe(client);
    if (client && one_in(16))
        racing_client_leave(client);
}

/* Three publish, one replaces, one ends, one keeps the time, one writes and reads, one moves. */
static void step(unsigned role, struct racing_client *client)
{
    switch (role) {
    case 3:
        replace();
        break;
    case 4:
        if (client && one_in(4))
            end(client, true);
        break;
    case 5:
        tick(client);
        break;
    case 6:
        take_turns(client);
        break;
    case 7:
        come_and_go(client);
        break;
    default:
        if (client && one_in(4))
            send_to(client);
        else if (one_in(8))
            hold();
        else
            publish();
        break;
    }
}

static struct racing_client *borrow_any(void)
{
    return stage_borrow(&stage_self->stage->slots[below(STAGE_SLOTS + STAGE_RELIABLE)]);
}

static void *work(void *worker)
{
    stage_self = worker;
    for (unsigned i = 0; i < STEPS; i++) {
        struct racing_client *client = borrow_any();

        /* Now and then each does what is another's. */
        step(one_in(8) ? below(8) : stage_self->number, client);
        if (client)
            look(client);
        stage_give_back(client);
        client = borrow_any();
        if (client)
            call_with_lent(client);
        give_lent_back();
        schedule_pause(&stage_self->random);
    }
    return NULL;
}

static void wait_and_take(struct stage_waiter *waiter, struct racing_client *client)
{
    int result = 1;

    if (client->plan.drain != SSE_DRAIN_PULL || pthread_mutex_trylock(&client->waiting))
        return;
    while (result == 1 && stage_note_waiting(waiter, client->emitter)) {
        result = sse_emitter_wait(client->emitter, -1);
        require(result == 1 || lacked_memory(result) ||
                (result < 0 && result != -EINVAL && result != -EDEADLK));
        if (result == 1)
            (void)racing_client_pump(client, &stage_self->random);
    }
    (void)stage_note_waiting(waiter, NULL);
    pthread_mutex_unlock(&client->waiting);
}

static void *keep_waiting(void *argument)
{
    struct stage_waiter *waiter = argument;

    stage_self = &waiter->worker;
    while (stage_note_waiting(waiter, NULL)) {
        struct racing_client *client = borrow_any();

        if (client)
            wait_and_take(waiter, client);
        stage_give_back(client);
        schedule_pause(&stage_self->random);
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    static const struct stage_callbacks callbacks = {.visit = visit, .on_wake = on_wake};
    static const enum stage_memory memory[] = {STAGE_COUNTED, STAGE_MALLOC, STAGE_STINGY, STAGE_MALLOC};
    unsigned rounds = schedule_rounds(600);

    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        struct racing_stage *stage =
            racing_stage_open(schedule_seed() + round, memory[round % 4], &callbacks);

        racing_stage_run(stage, work, keep_waiting);
        racing_stage_close(stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

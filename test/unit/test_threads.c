/* SPDX-License-Identifier: MIT */
/* Threads that do everything at once to the same emitters and registries, in random order, while two loops serve
 * them. */
#include "racing_stage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEPS 120

static unsigned below(unsigned bound)
{
    return schedule_below(&stage_self()->random, bound);
}

static bool one_in(unsigned count)
{
    return schedule_one_in(&stage_self()->random, count);
}

static struct sse_text absent(void)
{
    return sse_str(NULL);
}

/* Most actions use the first registry. */
static unsigned any_registry(void)
{
    return one_in(4);
}

/* Returns this thread's next event, or NULL when it has published enough. */
static struct stage_event *next_event(unsigned registry, unsigned target)
{
    struct stage_worker *worker = stage_self();
    struct stage_event *event = &worker->events[worker->event_count];

    if (worker->event_count == NUMBERED_SEQUENCE_MAX)
        return NULL;
    event->key = (struct numbered_key){worker->number, worker->event_count, registry, target};
    worker->event_count++;
    return event;
}

static bool lacked_memory(int error)
{
    return error == -ENOMEM && stage_self()->stage->stingy;
}

static int publish_message(struct sse_registry *registry, struct sse_text topic,
                           const struct sse_event *event)
{
    struct sse_delivery delivery;
    struct sse_message *message;
    int error = sse_message_new(&message, event, 1, &stage_self()->stage->platform);

    if (error)
        return error;
    error = sse_registry_publish_message(registry, topic, message, &delivery);
    sse_message_unref(message);
    return error;
}

static void publish(void)
{
    unsigned number = any_registry();
    unsigned topic = below(STAGE_TOPICS);
    struct stage_event *noted = next_event(number, one_in(4) ? NUMBERED_TO_ALL : topic);
    struct sse_registry *registry = stage_self()->stage->registries[number];
    struct numbered_event text;
    struct sse_event event;
    struct sse_text name;
    int error;

    if (!noted)
        return;
    name = noted->key.target == NUMBERED_TO_ALL ? absent() : stage_topics[topic];
    event = numbered_event(&noted->key, &text);
    error = one_in(3) ? publish_message(registry, name, &event)
                      : sse_registry_publish(registry, name, &event, NULL);
    require(!error || lacked_memory(error));
    noted->accepted = !error;
}

static int send_message(struct racing_client *client, const struct sse_event *event)
{
    struct sse_message *message;
    int error = sse_message_new(&message, event, 1, &stage_self()->stage->platform);

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
    if (one_in(8))
        (void)sse_emitter_ping(client->emitter);
}

/* A close inside an output could wait for a thread that waits for this one. */
static void end(struct racing_client *client, bool may_close)
{
    static const int errors[] = {-EPIPE, -ECANCELED, -EIO, -ECONNRESET, -EINVAL, -EINTR};
    unsigned choice = below(3);
    int error = 0;

    if (client->plan.reliable)
        return;
    if (choice == 0)
        error = sse_emitter_complete(client->emitter);
    else if (choice == 1)
        error = sse_emitter_abort(client->emitter, errors[below(6)]);
    else if (may_close && client->plan.loop)
        stage_close_client(client);
    require(error == 0 || error == -EALREADY);
}

static void end_another(void)
{
    struct racing_client *client = stage_borrow(&stage_self()->stage->slots[below(STAGE_SLOTS)]);

    if (client)
        end(client, !stage_self()->in_output);
    stage_give_back(client);
}

static void subscribe(struct racing_client *client)
{
    struct sse_registry *registry = stage_self()->stage->registries[any_registry()];
    struct sse_text topics[2];
    struct sse_replay replay;
    int error;

    if (client->plan.reliable)
        return;
    for (size_t i = 0; i < 2; i++)
        topics[i] = stage_topics[below(STAGE_TOPICS)];
    error = sse_registry_subscribe(registry, client->emitter, topics, 2, sse_str(one_in(2) ? "7" : NULL),
                                   &replay);
    require(error <= 0 && error != -EINVAL && error != -EBADMSG &&
            (error != -ENOMEM || lacked_memory(error)));
    if (one_in(3))
        (void)sse_registry_unsubscribe(registry, client->emitter, topics, 1);
}

static int visit_member(struct sse_emitter *emitter, void *user)
{
    (void)user;
    (void)sse_emitter_user(emitter);
    return one_in(4);
}

static void look_around(void)
{
    struct sse_registry *registry = stage_self()->stage->registries[any_registry()];
    struct sse_registry_stats stats;
    int result = sse_registry_each(registry, one_in(2) ? absent() : stage_topics[0], visit_member, NULL);

    require(result == 0 || result == 1 || lacked_memory(result));
    (void)sse_registry_count(registry, stage_topics[below(STAGE_TOPICS)]);
    require(sse_registry_get_stats(registry, &stats, sizeof(stats)) == 0);
    require(stats.emitters <= stats.remaining && stats.remaining <= stats.added);
    require(sse_loop_count(stage_self()->stage->loops[below(STAGE_LOOPS)].loop) <= STAGE_CLIENTS_MAX);
    if (one_in(16))
        require(sse_registry_complete(stage_self()->stage->registries[1],
                                      stage_topics[below(STAGE_TOPICS)]) == 0);
}

static void look(struct racing_client *client)
{
    struct sse_emitter_info info;

    require(sse_emitter_get_info(client->emitter, &info, sizeof(info)) == 0);
    require((info.state == SSE_STATE_CLOSED) == (info.reason != SSE_REASON_NONE));
    require(info.state == SSE_STATE_CLOSED || info.error == 0);
    require((info.queued_bytes == 0) == (info.queued_messages == 0));
    require(sse_emitter_user(client->emitter) == client);
}

static void advance_clock(void)
{
    struct racing_stage *stage = stage_self()->stage;

    fake_platform_advance_ms(&stage->fake, below(60));
    for (unsigned i = 0; i < STAGE_LOOPS; i++)
        loop_thread_kick(&stage->loops[i]);
    if (stage->stingy)
        fake_platform_fail_at(&stage->fake, 1 + below(20), false);
}

/* An emitter without a loop has a thread that reads it. */
static void take_turns(struct racing_client *client)
{
    int result = 0;

    if (client->plan.loop)
        result = racing_client_pump(client, &stage_self()->random);
    else if (one_in(8))
        result = sse_emitter_interrupt(client->emitter);
    require(result != -EINVAL && result != -EINTR && result != -EALREADY);
}

static void start(struct racing_client *client)
{
    int error = sse_emitter_start(client->emitter, one_in(2));

    require(error <= 0 && error != -EINVAL);
}

/* The actions of callbacks. `client` is NULL once its emitter is freed. */
static void act(struct racing_client *client)
{
    switch (below(client ? 9 : 3)) {
    case 0:
        publish();
        break;
    case 1:
        end_another();
        break;
    case 2:
        look_around();
        break;
    case 3:
        send_to(client);
        break;
    case 4:
        subscribe(client);
        break;
    case 5:
        end(client, true);
        break;
    case 6:
        take_turns(client);
        break;
    case 7:
        start(client);
        break;
    default:
        sse_emitter_unref(sse_emitter_ref(client->emitter));
        break;
    }
}

/* A call that is made here must not run a callback, because that callback would be inside another one. */
static void visit(struct racing_client *client, enum racing_place place)
{
    struct stage_worker *worker = stage_self();
    bool in_output = place == IN_WRITE || place == IN_READY;

    if (worker->stage->calm || !worker->visits || !one_in(6))
        return;
    worker->visits--;
    worker->in_output += in_output;
    racing_call_begin();
    act(place == IN_RELEASE ? NULL : client);
    racing_call_end();
    worker->in_output -= in_output;
}

/* Opens a client, and closes the previous one in its place. */
static void replace(void)
{
    struct racing_stage *stage = stage_self()->stage;
    unsigned choice = below(64);
    struct racing_plan plan = {
        .output = (enum sse_output)(1 + below(3)),
        .loop = &stage->loops[below(STAGE_LOOPS)],
        .registry = one_in(8) ? NULL : stage->registries[any_registry()],
        .chunked = choice & 1,
        .has_head = choice & 2,
        .timers = choice & 4,
        .owned = choice & 8,
        .paused = (choice & 48) == 0,
    };
    struct racing_client *client;

    if (plan.registry) {
        plan.topics = stage_topics;
        plan.topic_count = below(STAGE_TOPICS + 1);
    }
    client = stage_add_client(&plan);
    if (client)
        client = stage_exchange(&stage->slots[below(STAGE_SLOTS)], client);
    if (client)
        racing_client_close(client, true);
}

static void come_and_go(struct racing_client *client)
{
    if (one_in(2))
        subscribe(client);
    else
        start(client);
    if (one_in(16))
        racing_client_leave(client);
}

/* Three threads publish, one replaces, one ends, one moves the clock, one reads, one subscribes. */
static void step(unsigned role, struct racing_client *client)
{
    if (role == 3) {
        replace();
    } else if (role == 5) {
        advance_clock();
    } else if (!client) {
        publish();
    } else if (role == 4) {
        if (one_in(4))
            end(client, true);
    } else if (role == 6) {
        take_turns(client);
    } else if (role == 7) {
        come_and_go(client);
    } else {
        if (one_in(4))
            send_to(client);
        else if (one_in(8))
            look_around();
        else
            publish();
    }
}

static void *work(void *worker)
{
    struct stage_worker *me = worker;

    racing_stage_enter(me);
    for (unsigned i = 0; i < STEPS; i++) {
        struct racing_client *client = stage_borrow(&me->stage->slots[below(STAGE_PLACES)]);

        racing_call_begin();
        /* Now and then each thread does another one's work. */
        step(one_in(8) ? below(8) : me->number, client);
        if (client)
            look(client);
        racing_call_end();
        stage_give_back(client);
        schedule_pause(&me->random);
    }
    return NULL;
}

/* A connection with its own thread, until its stream ends. */
static void serve(struct stage_worker *me, struct stage_slot *slot)
{
    unsigned choice = below(8);
    struct racing_plan plan = {
        .output = SSE_OUTPUT_PULL,
        .registry = me->stage->registries[0],
        .topics = stage_topics,
        .topic_count = 2,
        .chunked = choice & 1,
        .has_head = choice & 2,
        .timers = choice & 4,
    };
    struct racing_client *client = stage_add_client(&plan);
    int result = 0;

    if (!client)
        return;
    (void)stage_exchange(slot, client);
    while (!atomic_load(&me->stage->stopping) && (result >= 0 || result == -EINTR || lacked_memory(result)))
        result = racing_client_wait(client, -1, &me->random);
    (void)stage_exchange(slot, NULL);
    racing_client_close(client, true);
}

static void *keep_serving(void *worker)
{
    struct stage_worker *me = worker;

    racing_stage_enter(me);
    for (unsigned i = 0; i < 40 && !atomic_load(&me->stage->stopping); i++)
        serve(me, &me->stage->slots[STAGE_SLOTS + STAGE_RELIABLE + me->number - STAGE_WORKERS]);
    return NULL;
}

/* Fault 34. Fault 40. Fault 43. */
static void everything_at_once(void **state)
{
    static const struct stage_callbacks callbacks = {.visit = visit};
    static const enum stage_memory memory[] = {STAGE_COUNTED, STAGE_MALLOC, STAGE_STINGY, STAGE_MALLOC};
    unsigned rounds = schedule_rounds(600);

    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        struct racing_stage *stage =
            racing_stage_open(schedule_seed() + round, memory[round % 4], &callbacks);

        racing_stage_run(stage, work, keep_serving);
        racing_stage_close(stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

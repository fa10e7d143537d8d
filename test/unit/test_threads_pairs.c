/* SPDX-License-Identifier: MIT */
/* Every pair of calls, made by two threads at the same time on one emitter and its registries, many
 * times over and with varying delays. */
#include "racing_client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sse/registry.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BATCH 32
#define REGISTRIES 2

static const char topic[] = "topic";

/* What two threads meet on. Each has a reference to everything. */
struct subject {
    struct racing_client *client;
    struct sse_registry *registries[REGISTRIES];
    atomic_bool waking[REGISTRIES];
    size_t wakes[REGISTRIES]; /* without a lock: on_wake is entered by one at a time */
};

/* One thread's part in it. */
struct part {
    struct subject *subject;
    struct schedule_random random;
    unsigned number; /* as a publisher */
    unsigned attempts;
    unsigned accepted;
    bool gave_emitter_back;
    bool gave_registry_back;
};

struct operation {
    const char *name;
    void (*run)(struct part *part);
    unsigned drains; /* a bit for each that knows it */
    unsigned needs;  /* the references without which it cannot be called */
};

static struct sse_emitter *emitter_of(const struct part *part)
{
    return part->subject->client->emitter;
}

static struct sse_registry *registry_of(const struct part *part)
{
    return part->subject->registries[0];
}

static struct numbered_key next_key(struct part *part, unsigned target)
{
    return (struct numbered_key){.publisher = part->number, .sequence = part->attempts++, .target = target};
}

static void send_event(struct part *part)
{
    struct numbered_key key = next_key(part, NUMBERED_TO_ONE);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);

    part->accepted += !sse_emitter_send(emitter_of(part), &event);
}

static void send_message(struct part *part)
{
    struct numbered_key key = next_key(part, NUMBERED_TO_ONE);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);
    struct sse_message *message;

    require(sse_message_new(&message, &event, 1, part->subject->client->plan.host) == 0);
    part->accepted += !sse_emitter_send_message(emitter_of(part), message);
    sse_message_unref(message);
}

static void check_delivery(const struct sse_delivery *delivery)
{
    require(delivery->written + delivery->queued + delivery->dropped + delivery->closed <= 1);
}

static void publish(struct part *part)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct numbered_key key = next_key(part, 0);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);

    require(sse_registry_publish(registry_of(part), sse_str(topic), &event, &delivery) == 0);
    check_delivery(&delivery);
}

static void broadcast(struct part *part)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct numbered_key key = next_key(part, NUMBERED_TO_ALL);
    struct numbered_event text;
    struct sse_event event = numbered_event(&key, &text);

    require(sse_registry_broadcast(registry_of(part), &event, &delivery) == 0);
    check_delivery(&delivery);
}

static void pump(struct part *part)
{
    int result = racing_client_pump(part->subject->client, &part->random);

    require(result <= 1 && result != -EINVAL);
}

static void complete(struct part *part)
{
    int error = sse_emitter_complete(emitter_of(part));

    require(error == 0 || error == -EALREADY);
}

static void complete_with_error(struct part *part)
{
    int error =
        sse_emitter_complete_with_error(emitter_of(part), schedule_one_in(&part->random, 2) ? -EPIPE : -EIO);

    require(error == 0 || error == -EALREADY);
}

static void detach(struct part *part)
{
    require(sse_emitter_detach(emitter_of(part)) == 0);
    racing_client_gone(part->subject->client);
}

static void tick(struct part *part)
{
    require(sse_emitter_tick(emitter_of(part)) == 0);
}

static void registry_tick(struct part *part)
{
    require(sse_registry_tick(registry_of(part)) == 0);
}

static void require_end_or(int error, int allowed)
{
    require(error == 0 || error == allowed || error == -EBUSY || error == -ESHUTDOWN || error == -ECANCELED ||
            error == -EPIPE || error == -ECONNRESET || error == -EIO || error == -ETIMEDOUT ||
            error == -ENOBUFS);
}

static void add(struct part *part)
{
    require_end_or(sse_registry_add(registry_of(part), emitter_of(part)), -EALREADY);
}

static void remove_from(struct part *part)
{
    int error = sse_registry_remove(registry_of(part), emitter_of(part));

    require(error == 0 || error == -ENOENT);
}

/* To the other registry, which guards the emitter's place with another lock. */
static void add_elsewhere(struct part *part)
{
    int error = -EBUSY;

    for (int i = 0; i < 20 && error == -EBUSY; i++)
        error = sse_registry_add(part->subject->registries[1], emitter_of(part));
    require_end_or(error, -EALREADY);
}

static void subscribe(struct part *part)
{
    const struct sse_str topics[] = {sse_str(topic), sse_str("another")};
    struct sse_replay replay = {.size = sizeof(replay)};

    require_end_or(
        sse_registry_subscribe(registry_of(part), emitter_of(part), topics, 2, sse_str("1"), &replay), 0);
}

/* Of both registries: the emitter may be in either, or in none. */
static void shut_down(struct part *part)
{
    struct numbered_key key = next_key(part, NUMBERED_TO_ALL);
    struct numbered_event text;
    struct sse_event farewell = numbered_event(&key, &text);
    const struct sse_shutdown_options options = {
        .size = sizeof(options),
        .farewell = schedule_one_in(&part->random, 2) ? &farewell : NULL,
        .retry_min_ms = NUMBERED_LAST_RETRY_MS,
        .retry_max_ms = NUMBERED_LAST_RETRY_MS,
        .drain_ms = schedule_one_in(&part->random, 3) ? 0 : 1000,
    };
    struct sse_shutdown_report report = {.size = sizeof(report)};

    for (size_t i = 0; i < REGISTRIES; i++) {
        int error = sse_registry_shutdown(part->subject->registries[i], &options);

        require(error == 0 || error == -EALREADY);
        require(sse_registry_shutdown_report(part->subject->registries[i], &report) == 0);
        require(report.remaining + report.completed + report.cut <= 1);
    }
}

static void unsubscribe(struct part *part)
{
    const struct sse_str topics[] = {sse_str(topic)};
    int error = sse_registry_unsubscribe(registry_of(part), emitter_of(part), topics, 1);

    require(error == 0 || error == -ENOENT);
}

static void unref(struct part *part)
{
    part->gave_emitter_back = true;
    sse_emitter_unref(emitter_of(part));
}

static void registry_unref(struct part *part)
{
    part->gave_registry_back = true;
    for (size_t i = 0; i < REGISTRIES; i++)
        sse_registry_unref(part->subject->registries[i]);
}

static void info(struct part *part)
{
    struct sse_emitter_info look = {.size = sizeof(look)};

    require(sse_emitter_info(emitter_of(part), &look) == 0);
    require((look.state == SSE_STATE_CLOSED) == (look.reason != SSE_REASON_NONE));
    require((look.queued_bytes == 0) == (look.queued_messages == 0));
    require(sse_emitter_next_timeout(emitter_of(part)) >= -1);
}

static int visit_member(struct sse_emitter *emitter, void *user)
{
    struct part *part = user;

    require(emitter == emitter_of(part));
    return sse_emitter_next_timeout(emitter) < -1;
}

static void look_around(struct part *part)
{
    require(sse_registry_next_timeout(registry_of(part)) >= -1);
    require(sse_registry_each(registry_of(part), sse_str(topic), visit_member, part) == 0);
    require(sse_registry_count(registry_of(part), sse_str(NULL)) <= 1);
}

static void next_ready(struct part *part)
{
    struct sse_emitter *emitter = sse_registry_next_ready(registry_of(part));

    require(!emitter || emitter == emitter_of(part));
    sse_emitter_unref(emitter);
}

static void wait_for_bytes(struct part *part)
{
    struct racing_client *client = part->subject->client;
    int result;

    if (pthread_mutex_trylock(&client->waiting))
        return;
    result = sse_emitter_wait(client->emitter, 0);
    require(result <= 1 && result != -EINVAL && result != -ENOMEM && result != -EDEADLK);
    pthread_mutex_unlock(&client->waiting);
}

static void interrupt(struct part *part)
{
    require(sse_emitter_interrupt(emitter_of(part)) == 0);
}

static void leave(struct part *part)
{
    racing_client_leave(part->subject->client);
}

#define FD (1u << SSE_DRAIN_FD)
#define PULL (1u << SSE_DRAIN_PULL)
#define EMITTER 1u
#define REGISTRY 2u
#define ANY (FD | PULL | 1u << SSE_DRAIN_CALLBACK)

static const struct operation operations[] = {
    {"send", send_event, ANY, EMITTER},
    {"send_message", send_message, ANY, EMITTER},
    {"publish", publish, ANY, REGISTRY},
    {"broadcast", broadcast, ANY, REGISTRY},
    {"flush or take", pump, ANY, EMITTER},
    {"complete", complete, ANY, EMITTER},
    {"complete_with_error", complete_with_error, ANY, EMITTER},
    {"detach", detach, ANY, EMITTER},
    {"tick", tick, ANY, EMITTER},
    {"registry_tick", registry_tick, ANY, REGISTRY},
    {"add", add, ANY, REGISTRY | EMITTER},
    {"remove", remove_from, ANY, REGISTRY | EMITTER},
    {"add elsewhere", add_elsewhere, ANY, REGISTRY | EMITTER},
    {"subscribe", subscribe, ANY, REGISTRY | EMITTER},
    {"shutdown", shut_down, ANY, REGISTRY},
    {"unsubscribe", unsubscribe, ANY, REGISTRY | EMITTER},
    {"unref", unref, ANY, EMITTER},
    {"registry_unref", registry_unref, ANY, REGISTRY},
    {"info", info, ANY, EMITTER},
    {"each", look_around, ANY, REGISTRY},
    {"next_ready", next_ready, ANY, REGISTRY},
    {"wait", wait_for_bytes, PULL, EMITTER},
    {"interrupt", interrupt, PULL, EMITTER},
    {"peer leaves", leave, FD, EMITTER},
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* A number of subjects, so that two threads need to be started only once for them. */
struct batch {
    struct fake_host fake;
    struct sse_host host;
    struct schedule_random random;
    struct schedule_gate gate;
    enum sse_drain drain;
    int trap[2];
    struct subject subjects[BATCH];
    struct part parts[2][BATCH];
    const struct operation *pair[2];
};

static void on_wake(struct sse_registry *registry, void *user)
{
    struct subject *subject = user;
    unsigned number = registry == subject->registries[1];

    require(!atomic_exchange_explicit(&subject->waking[number], true, memory_order_relaxed));
    subject->wakes[number]++;
    atomic_store_explicit(&subject->waking[number], false, memory_order_relaxed);
}

static void open_registries(struct batch *batch, struct subject *subject)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &batch->host, .on_wake = on_wake, .user = subject};

    for (size_t i = 0; i < REGISTRIES; i++) {
        require(sse_registry_new(&subject->registries[i], &options) == 0);
        (void)sse_registry_next_timeout(sse_registry_ref(subject->registries[i]));
    }
}

/* Some have bytes queued, some have a reader that was told there are none. */
static void prepare(struct batch *batch, struct part *part)
{
    if (batch->drain == SSE_DRAIN_PULL && schedule_one_in(&batch->random, 2))
        (void)racing_client_pump(part->subject->client, &batch->random);
    while (schedule_one_in(&batch->random, 2))
        send_event(part);
    if (!schedule_one_in(&batch->random, 4))
        subscribe(part);
}

/* The other side's reference may be the last one. */
static void give_back_unneeded(struct batch *batch, struct part *part, const struct operation *operation)
{
    if (!(operation->needs & REGISTRY) && schedule_one_in(&batch->random, 2))
        registry_unref(part);
    if (!(operation->needs & EMITTER) && schedule_one_in(&batch->random, 2))
        unref(part);
}

static void open_subject(struct batch *batch, struct subject *subject, struct part *first,
                         struct part *second)
{
    unsigned choice = schedule_below(&batch->random, 8);
    struct racing_plan plan = {
        .drain = batch->drain,
        .host = &batch->host,
        .seed = schedule_bits(&batch->random),
        .chunked = choice & 1,
        .timers = choice & 2,
        .trap = batch->trap[0],
    };

    open_registries(batch, subject);
    require(racing_client_new(&subject->client, &plan) == 0);
    sse_emitter_ref(subject->client->emitter);
    *first = (struct part){.subject = subject, .number = 0};
    *second = (struct part){.subject = subject, .number = 1};
    schedule_random_init(&first->random, plan.seed, 1);
    schedule_random_init(&second->random, plan.seed, 2);
    prepare(batch, first);
    give_back_unneeded(batch, first, batch->pair[0]);
    give_back_unneeded(batch, second, batch->pair[1]);
}

static void run_part(struct batch *batch, unsigned side)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct part *part = &batch->parts[side][i];

        schedule_gate_pass(&batch->gate, side, i + 1);
        schedule_pause(&part->random);
        batch->pair[side]->run(part);
    }
}

static void *run_second(void *batch)
{
    run_part(batch, 1);
    return NULL;
}

static void give_back(struct part *part)
{
    if (!part->gave_emitter_back)
        sse_emitter_unref(emitter_of(part));
    if (!part->gave_registry_back)
        registry_unref(part);
}

/* Whatever was accepted was written or dropped, and of a graceful end nothing was. */
static void check_subject(const struct subject *subject, const struct part *first, const struct part *second)
{
    const struct sse_completion *completion = &subject->client->completion;
    uint64_t kept = completion->events + completion->dropped;
    struct numbered_list list;

    racing_client_check(subject->client, &list);
    require(kept >= first->accepted + second->accepted);
    require(kept <= first->attempts + second->attempts);
    numbered_list_free(&list);
}

static void close_subject(struct batch *batch, struct subject *subject, struct part *first,
                          struct part *second)
{
    if (!first->gave_emitter_back)
        racing_client_check_told(subject->client);
    if (!first->gave_emitter_back && schedule_one_in(&batch->random, 2)) {
        racing_client_drain(subject->client, &batch->random);
        (void)sse_emitter_complete(subject->client->emitter);
        racing_client_drain(subject->client, &batch->random);
    }
    give_back(first);
    give_back(second);
    check_subject(subject, first, second);
    racing_client_free(subject->client);
}

static void race(struct batch *batch, bool counting, const struct operation *one,
                 const struct operation *other)
{
    char scene[64];
    char byte;
    pthread_t thread;

    snprintf(scene, sizeof(scene), "%s beside %s", one->name, other->name);
    schedule_scene(scene);

    fake_host_init(&batch->fake);
    schedule_host_init(&batch->host, &batch->fake, counting);
    batch->pair[0] = one;
    batch->pair[1] = other;
    for (size_t i = 0; i < 2; i++)
        atomic_store(&batch->gate.passed[i], 0);
    for (unsigned i = 0; i < BATCH; i++) {
        batch->subjects[i] = (struct subject){.client = NULL};
        open_subject(batch, &batch->subjects[i], &batch->parts[0][i], &batch->parts[1][i]);
    }
    fake_host_advance_ms(&batch->fake, schedule_below(&batch->random, 1500));
    require(pthread_create(&thread, NULL, run_second, batch) == 0);
    run_part(batch, 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < BATCH; i++)
        close_subject(batch, &batch->subjects[i], &batch->parts[0][i], &batch->parts[1][i]);
    require(recv(batch->trap[1], &byte, 1, 0) < 0 && errno == EAGAIN);
    fake_host_check_no_leak(&batch->fake);
    schedule_scene(NULL);
}

static void race_pairs(enum sse_drain drain)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    unsigned rounds = schedule_rounds(8);

    require(batch != NULL);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, batch->trap) == 0);
    require(fcntl(batch->trap[1], F_SETFL, O_NONBLOCK) == 0);
    schedule_random_init(&batch->random, schedule_seed(), drain);
    batch->drain = drain;
    for (size_t i = 0; i < OPERATIONS; i++) {
        for (size_t k = i; k < OPERATIONS; k++) {
            if (!(operations[i].drains & operations[k].drains & 1u << drain))
                continue;
            for (unsigned round = 0; round < rounds; round++)
                race(batch, round % 2, &operations[i], &operations[k]);
        }
    }
    close(batch->trap[0]);
    close(batch->trap[1]);
    free(batch);
}

static void pairs_on_a_callback(void **state)
{
    (void)state;
    race_pairs(SSE_DRAIN_CALLBACK);
}

static void pairs_on_a_descriptor(void **state)
{
    (void)state;
    race_pairs(SSE_DRAIN_FD);
}

static void pairs_on_pull(void **state)
{
    (void)state;
    race_pairs(SSE_DRAIN_PULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_on_a_callback),
        cmocka_unit_test(pairs_on_a_descriptor),
        cmocka_unit_test(pairs_on_pull),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Every pair of calls, made by two threads at the same time on one emitter, its registry and its loop, many times
 * and with varying delays. */
#include "racing_pairs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BATCH 16

/* So many subjects that two threads need to be started only once for them. */
struct batch {
    struct fake_platform fake;
    struct sse_platform platform;
    struct schedule_random random;
    struct schedule_gate gate;
    enum kind kind;
    int trap[2];
    struct subject subjects[BATCH];
    struct part parts[2][BATCH];
    const struct operation *pair[2];
};

static bool is_alone(const struct batch *batch)
{
    return batch->kind == PULL_ALONE;
}

/* Some have queued bytes, and some have a reader that has found nothing. */
static void prepare(struct batch *batch, struct part *part)
{
    if (batch->kind == PULL && schedule_one_in(&batch->random, 2))
        pairs_pump(part);
    while (schedule_one_in(&batch->random, 2))
        pairs_send(part);
    if (!is_alone(batch) && schedule_one_in(&batch->random, 2))
        loop_thread_turn(&part->subject->loop);
}

/* The other side's reference may be the last one. */
static void give_back_unneeded(struct batch *batch, struct part *part, const struct operation *operation)
{
    racing_call_begin();
    if (!(operation->needs & NEEDS_REGISTRY) && schedule_one_in(&batch->random, 2))
        pairs_unref_registry(part);
    if (!(operation->needs & NEEDS_EMITTER) && schedule_one_in(&batch->random, 2))
        pairs_unref(part);
    racing_call_end();
}

static struct racing_plan plan_for(struct batch *batch, struct subject *subject)
{
    static const enum sse_output outputs[KINDS] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_FD,   SSE_OUTPUT_FD,
                                                   SSE_OUTPUT_FD,       SSE_OUTPUT_PULL, SSE_OUTPUT_PULL};
    unsigned choice = schedule_below(&batch->random, 16);

    return (struct racing_plan){
        .output = outputs[batch->kind],
        .loop = is_alone(batch) ? NULL : &subject->loop,
        .registry = subject->registry,
        .topics = &pairs_topic,
        .topic_count = schedule_below(&batch->random, 2),
        .platform = &batch->platform,
        .seed = schedule_bits(&batch->random),
        .chunked = choice & 1,
        .timers = choice & 2,
        .owned = batch->kind == OWNED_FD || (batch->kind == POLLED_FD && choice & 4),
        .paused = choice == 15,
        .trap = batch->trap[0],
    };
}

static void open_subject(struct batch *batch, struct subject *subject, struct part *first,
                         struct part *second)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &batch->platform,
                                                 .emitters_max = 1,
                                                 .admission = SSE_ADMISSION_EVICT_OLDEST};
    struct racing_plan plan;

    require(sse_registry_new(&subject->registry, &options) == 0);
    loop_thread_open(&subject->loop, &batch->platform, batch->kind == POLLED_FD);
    plan = plan_for(batch, subject);
    require(racing_client_new(&subject->client, &plan) == 0);
    /* One reference for each side, and the one that is closed. */
    sse_emitter_ref(sse_emitter_ref(subject->client->emitter));
    sse_registry_ref(subject->registry);
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
        /* Callbacks run in the thread of the loop's turns, and nowhere else. */
        racing_call_begin();
        batch->pair[side]->run(part);
        racing_call_end();
    }
}

static void *run_second(void *batch)
{
    run_part(batch, 1);
    return NULL;
}

static void settle(struct batch *batch, struct subject *subject)
{
    if (is_alone(batch) || atomic_load(&subject->loop.freeing))
        return;
    for (int turns = 0; turns < 8; turns++)
        loop_thread_turn(&subject->loop);
}

static bool is_drained(const struct subject *subject)
{
    struct sse_emitter_info info;

    require(sse_emitter_get_info(subject->client->emitter, &info, sizeof(info)) == 0);
    return !info.queued_bytes && info.state != SSE_STATE_DRAINING;
}

static void drain(struct batch *batch, struct subject *subject)
{
    racing_client_be_generous(subject->client);
    for (int rounds = 0; rounds < 100 && (!rounds || !is_drained(subject)); rounds++) {
        (void)racing_client_pump(subject->client, &batch->random);
        settle(batch, subject);
    }
}

static void give_back(struct part *part)
{
    racing_call_begin();
    if (!part->gave_emitter_back)
        pairs_unref(part);
    if (!part->gave_registry_back)
        pairs_unref_registry(part);
    racing_call_end();
}

/* Every accepted event was written or dropped. */
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

/* A polled loop still writes the queue of a draining emitter, even if nobody else has a reference. */
static void expect_empty_loop(struct batch *batch, struct subject *subject)
{
    settle(batch, subject);
    for (int rounds = 0; rounds < 100 && sse_loop_count(subject->loop.loop); rounds++) {
        racing_client_receive(subject->client);
        settle(batch, subject);
    }
    require(sse_loop_count(subject->loop.loop) == 0);
}

static void close_subject(struct batch *batch, struct subject *subject, struct part *first,
                          struct part *second)
{
    bool closed = first->closed || second->closed;

    settle(batch, subject);
    if (!closed)
        racing_client_check_told(subject->client);
    if (!closed && schedule_one_in(&batch->random, 2)) {
        drain(batch, subject);
        (void)sse_emitter_complete(subject->client->emitter);
        drain(batch, subject);
    }
    if (!closed)
        racing_client_close(subject->client, true);
    give_back(first);
    give_back(second);
    if (!atomic_load(&subject->loop.freeing))
        expect_empty_loop(batch, subject);
    loop_thread_close(&subject->loop);
    check_subject(subject, first, second);
    racing_client_free(subject->client);
}

static void race(struct batch *batch, bool counting, const struct operation *one,
                 const struct operation *other)
{
    char scene[80];
    char byte;
    pthread_t thread;

    snprintf(scene, sizeof(scene), "%s beside %s, kind %d", one->name, other->name, (int)batch->kind);
    schedule_scene(scene);
    fake_platform_init(&batch->fake);
    schedule_platform_init(&batch->platform, &batch->fake, counting);
    batch->pair[0] = one;
    batch->pair[1] = other;
    for (size_t i = 0; i < 2; i++)
        atomic_store(&batch->gate.passed[i], 0);
    for (unsigned i = 0; i < BATCH; i++)
        open_subject(batch, &batch->subjects[i], &batch->parts[0][i], &batch->parts[1][i]);
    fake_platform_advance_ms(&batch->fake, schedule_below(&batch->random, 1500));
    require(pthread_create(&thread, NULL, run_second, batch) == 0);
    run_part(batch, 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < BATCH; i++)
        close_subject(batch, &batch->subjects[i], &batch->parts[0][i], &batch->parts[1][i]);
    require(recv(batch->trap[1], &byte, 1, 0) < 0 && errno == EAGAIN);
    fake_platform_check_no_leak(&batch->fake);
    schedule_scene(NULL);
}

static void race_pairs(enum kind kind)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    unsigned rounds = schedule_rounds(2);

    require(batch != NULL);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, batch->trap) == 0);
    require(fcntl(batch->trap[1], F_SETFL, O_NONBLOCK) == 0);
    schedule_random_init(&batch->random, schedule_seed(), kind);
    batch->kind = kind;
    for (size_t i = 0; i < PAIRS_OPERATIONS; i++) {
        for (size_t k = i; k < PAIRS_OPERATIONS; k++) {
            const struct operation *one = &pairs_operations[i], *other = &pairs_operations[k];

            for (unsigned round = 0; round < rounds && pairs_may_meet(one, other, kind); round++)
                race(batch, round % 2, one, other);
        }
    }
    close(batch->trap[0]);
    close(batch->trap[1]);
    free(batch);
}

/* Fault 41. */
static void pairs_on_a_callback(void **state)
{
    (void)state;
    race_pairs(CALLBACK);
}

static void pairs_on_a_descriptor(void **state)
{
    (void)state;
    race_pairs(KEPT_FD);
    race_pairs(OWNED_FD);
}

static void pairs_on_a_descriptor_that_is_polled(void **state)
{
    (void)state;
    race_pairs(POLLED_FD);
}

static void pairs_on_pull(void **state)
{
    (void)state;
    race_pairs(PULL);
}

static void pairs_on_pull_without_a_loop(void **state)
{
    (void)state;
    race_pairs(PULL_ALONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_on_a_callback),
        cmocka_unit_test(pairs_on_a_descriptor),
        cmocka_unit_test(pairs_on_a_descriptor_that_is_polled),
        cmocka_unit_test(pairs_on_pull),
        cmocka_unit_test(pairs_on_pull_without_a_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

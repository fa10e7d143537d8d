/* SPDX-License-Identifier: MIT */
/* Descriptors that are added and removed during a wait, signals and cancellation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faulty_calls.h"
#include "poller_stage.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define PAIRS_MAX 200

/* AddressSanitizer mistakes the frames of a cancelled thread for live ones. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAN_CANCEL false
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CAN_CANCEL false
#endif
#ifndef CAN_CANCEL
#define CAN_CANCEL true
#endif

struct waiting {
    struct poller_stage *stage;
    int result;
    atomic_bool done;
};

static void *wait_for_ever(void *argument)
{
    struct waiting *waiting = argument;

    waiting->result = waiting->stage->poller->wait(waiting->stage->poller, waiting->stage->events, -1);
    atomic_store(&waiting->done, true);
    return NULL;
}

/* So many that every table grows while the thread waits. */
static void descriptors_are_added_during_a_wait(void **state)
{
    static struct poller_pair pairs[PAIRS_MAX];
    struct poller_stage *stage = *state;
    struct waiting waiting = {.stage = stage};
    struct poller_pair wake;
    pthread_t thread;

    poller_pair_add(stage, &wake, POLLER_INPUT);
    (void)poller_stage_wait(stage);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &waiting), 0);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        poller_pair_add(stage, &pairs[i], 0);
    poller_pair_send(&wake);
    pthread_join(thread, NULL);
    assert_true(waiting.result > 0);
    poller_stage_settle(stage);
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        poller_pair_close_end(&pairs[i], 1);
        assert_true(poller_stage_happened(stage, &pairs[i]) & POLLER_ERROR);
        poller_pair_remove(stage, &pairs[i]);
    }
    poller_pair_remove(stage, &wake);
}

/* Waits and wakes in turn, while others add and remove. No event may have a name that never existed. */
struct traffic {
    struct poller_stage *stage;
    struct poller_pair stop;
    atomic_bool failed;
};

#define ROUNDS 500
#define ADDERS 3

static void *wait_until_stopped(void *argument)
{
    struct traffic *traffic = argument;
    struct poller *poller = traffic->stage->poller;
    bool stopped = false;

    while (!stopped) {
        struct poller_event events[POLLER_EVENTS_MAX];
        int count = poller->wait(poller, events, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].generation != (uint32_t)events[i].descriptor * 1000)
                atomic_store(&traffic->failed, true);
            stopped = stopped ||
                      (events[i].descriptor == traffic->stop.ends[0] && events[i].happened & POLLER_INPUT);
        }
        if (count < 0)
            atomic_store(&traffic->failed, true);
    }
    return NULL;
}

static void *add_and_remove(void *argument)
{
    struct traffic *traffic = argument;
    struct poller *poller = traffic->stage->poller;

    for (int i = 0; i < ROUNDS; i++) {
        int ends[2];

        if (pipe(ends) || fcntl(ends[0], F_SETFL, O_NONBLOCK) || write(ends[1], "x", 1) != 1 ||
            poller->add(poller, ends[0], (uint32_t)ends[0] * 1000, POLLER_INPUT))
            atomic_store(&traffic->failed, true);
        if (i % 3 == 0)
            sched_yield();
        poller->remove(poller, ends[0]);
        close(ends[0]);
        close(ends[1]);
    }
    return NULL;
}

static void descriptors_come_and_go_during_waits(void **state)
{
    struct poller_stage *stage = *state;
    struct traffic traffic = {.stage = stage};
    pthread_t waiter, adders[ADDERS];

    poller_pair_open(&traffic.stop);
    assert_int_equal(stage->poller->add(stage->poller, traffic.stop.ends[0],
                                        (uint32_t)traffic.stop.ends[0] * 1000, POLLER_INPUT),
                     0);
    assert_int_equal(pthread_create(&waiter, NULL, wait_until_stopped, &traffic), 0);
    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_create(&adders[i], NULL, add_and_remove, &traffic), 0);
    for (size_t i = 0; i < ADDERS; i++)
        pthread_join(adders[i], NULL);
    poller_pair_send(&traffic.stop);
    pthread_join(waiter, NULL);
    assert_false(atomic_load(&traffic.failed));
    poller_pair_remove(stage, &traffic.stop);
}

/* During the wait, the number is removed, closed and added again for another socket. */
struct succession {
    struct poller_stage *stage;
    struct poller_pair old;
    struct poller_pair new;
};

static void let_another_succeed(void *user)
{
    struct succession *succession = user;
    struct poller *poller = succession->stage->poller;
    int number = succession->old.ends[0];

    poller->remove(poller, number);
    poller_pair_open(&succession->new);
    assert_int_equal(dup2(succession->new.ends[0], number), number);
    close(succession->new.ends[0]);
    succession->new.ends[0] = number;
    poller_pair_send(&succession->new);
    assert_int_equal(poller->add(poller, number, succession->new.generation, POLLER_INPUT), 0);
}

/* A wait reports only what it asked for, and it asked for the old socket. */
static void a_removed_descriptor_is_not_reported_as_its_successor(void **state)
{
    struct poller_stage *stage = *state;
    struct succession succession = {.stage = stage};

    if (poller_stage_is_epoll(stage)) /* the kernel distinguishes them */
        return;
    poller_pair_add(stage, &succession.old, POLLER_INPUT);
    faulty_calls_interpose(FAULTY_POLL, let_another_succeed, &succession);
    assert_int_equal(poller_stage_wait(stage), 0);
    assert_true(poller_stage_happened(stage, &succession.new) & POLLER_INPUT);
    poller_pair_close_end(&succession.old, 1);
    poller_pair_remove(stage, &succession.new);
}

static void remove_old(void *user)
{
    struct succession *succession = user;

    succession->stage->poller->remove(succession->stage->poller, succession->old.ends[0]);
}

static void a_descriptor_removed_during_a_wait_is_not_reported(void **state)
{
    struct poller_stage *stage = *state;
    struct succession succession = {.stage = stage};
    struct poller_pair other;

    poller_pair_add(stage, &succession.old, POLLER_INPUT);
    poller_pair_add(stage, &other, POLLER_INPUT);
    poller_stage_settle(stage);
    poller_pair_send(&succession.old);
    poller_pair_send(&other);
    faulty_calls_interpose(poller_stage_is_epoll(stage) ? FAULTY_EPOLL_WAIT : FAULTY_POLL, remove_old,
                           &succession);
    assert_int_equal(poller_stage_wait(stage), 1);
    assert_int_equal(stage->events[0].descriptor, other.ends[0]);
    poller_pair_remove(stage, &other);
    poller_pair_close(&succession.old);
}

static void on_signal(int number)
{
    (void)number;
}

static void a_signal_ends_a_wait_without_error(void **state)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct waiting waiting = {.stage = *state, .result = -1};
    struct sigaction before;
    pthread_t thread;

    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &waiting), 0);
    while (!atomic_load(&waiting.done)) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(waiting.result, 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

#if CAN_CANCEL

/* A wait is a cancellation point, also in a program whose own functions contain some. */
static void free_cancelled(void *block, void *user)
{
    (void)user;
    pthread_testcancel();
    free(block);
}

static void *allocate_plainly(size_t size, void *user)
{
    (void)user;
    return malloc(size);
}

static void *wait_when_cancelled(void *argument)
{
    struct poller_event events[POLLER_EVENTS_MAX];
    struct poller *poller = argument;

    pthread_cancel(pthread_self());
    (void)poller->wait(poller, events, -1);
    return NULL;
}

static void a_cancelled_wait_leaves_nothing_behind(void **state)
{
    static const struct sse_platform platform = {
        .size = sizeof(platform), .allocate = allocate_plainly, .deallocate = free_cancelled};
    struct poller_event events[POLLER_EVENTS_MAX];
    struct poller_stage *stage = *state;
    struct poller_pair pairs[40];
    struct poller *poller;

    assert_int_equal(stage->make(&poller, &platform), 0);
    for (uint32_t i = 0; i < 40; i++) {
        pthread_t thread;
        void *result;

        poller_pair_open(&pairs[i]);
        assert_int_equal(poller->add(poller, pairs[i].ends[0], i, POLLER_INPUT), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_when_cancelled, poller), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, PTHREAD_CANCELED);
    }
    /* The room of new sockets, which epoll reports, was not lost. */
    poller_pair_send(&pairs[39]);
    assert_int_equal(poller->wait(poller, events, 0), poller_stage_is_epoll(stage) ? 40 : 1);
    for (int i = 0; i < 40; i++)
        poller_pair_close(&pairs[i]);
    poller->free(poller);
}

#endif

static int run(make_poller *const *maker, const char *name)
{
    const struct CMUnitTest tests[] = {
        POLLER_TEST(descriptors_are_added_during_a_wait, maker),
        POLLER_TEST(descriptors_come_and_go_during_waits, maker),
        POLLER_TEST(a_removed_descriptor_is_not_reported_as_its_successor, maker),
        POLLER_TEST(a_descriptor_removed_during_a_wait_is_not_reported, maker),
        POLLER_TEST(a_signal_ends_a_wait_without_error, maker),
#if CAN_CANCEL
        POLLER_TEST(a_cancelled_wait_leaves_nothing_behind, maker),
#endif
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return poller_stage_run(run);
}

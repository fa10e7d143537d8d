/* SPDX-License-Identifier: MIT */
/* The library closes each of its descriptors once, even if several threads end the emitter at the same time. A
 * second close would close another file. Fault 25. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"
#include "schedule.h"

#include <errno.h>
#include <unistd.h>

#define CLIENTS 200
#define NUMBERS 1024

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

/* How often each number was closed. */
static atomic_uint closes[NUMBERS];

int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_close(int fd)
{
    if (fd >= 0 && fd < NUMBERS)
        atomic_fetch_add(&closes[fd], 1);
    return __real_close(fd);
}

/* A thread that ends the emitters, with its own kind of call and in a random order. */
struct ender {
    struct loop_client *clients;
    struct schedule_random random;
};

static void end_one(struct ender *ender, struct sse_emitter *emitter)
{
    switch (schedule_below(&ender->random, 4)) {
    case 0:
        (void)sse_emitter_complete(emitter);
        break;
    case 1:
        (void)sse_emitter_abort(emitter, -EIO);
        break;
    case 2:
        (void)sse_emitter_flush(emitter);
        break;
    default:
        sse_emitter_close(sse_emitter_ref(emitter));
    }
}

static void *end_all(void *user)
{
    struct ender *ender = user;

    for (size_t i = 0; i < CLIENTS; i++) {
        end_one(ender, ender->clients[i].emitter);
        schedule_pause(&ender->random);
    }
    return NULL;
}

static void two_threads_end_one_emitter(void **state)
{
    static struct loop_client clients[CLIENTS];
    struct ender enders[2];
    pthread_t threads[2];
    struct loop_runner runner;

    for (size_t i = 0; i < CLIENTS; i++)
        loop_client_open(&clients[i], *state, i % 2 ? LOOP_CLIENT_UNIX : LOOP_CLIENT_PIPE, NULL);
    for (size_t i = 0; i < NUMBERS; i++)
        atomic_store(&closes[i], 0);
    loop_runner_start(&runner, *state);
    for (unsigned i = 0; i < 2; i++) {
        enders[i] = (struct ender){.clients = clients};
        schedule_random_init(&enders[i].random, schedule_seed(), i);
        require(pthread_create(&threads[i], NULL, end_all, &enders[i]) == 0);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    loop_runner_stop(&runner);
    for (size_t i = 0; i < CLIENTS; i++)
        (void)sse_emitter_abort(clients[i].emitter, -EIO);
    loop_stage_dispatch(*state);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(atomic_load(&clients[i].completions), 1);
        assert_in_range(clients[i].server_fd, 0, NUMBERS - 1);
        assert_int_equal(atomic_load(&closes[clients[i].server_fd]), 1);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        loop_client_close(&clients[i]);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_threads_end_one_emitter, &pollers[0]),
        TEST(two_threads_end_one_emitter, &pollers[1]),
    };

    return _cmocka_run_group_tests("close once", tests, loop_stage_has(SSE_POLLER_EPOLL) ? 2 : 1, NULL, NULL);
}

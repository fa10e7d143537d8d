/* SPDX-License-Identifier: MIT */
/* While a loop collects what has happened, more happens, without end. The loop must come to its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <sys/epoll.h>

#define CALLS_MAX 1000

static bool endless;
static unsigned calls;

int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);

/* Reports the first event again and again. */
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    static struct epoll_event first;
    int found;

    if (!endless)
        return __real_epoll_wait(epoll, events, count, timeout_ms);
    found = __real_epoll_wait(epoll, events, count, 0);
    if (found > 0)
        first = events[0];
    for (int i = 0; i < count; i++)
        events[i] = first;
    assert_true(++calls < CALLS_MAX);
    return count;
}

static void events_without_end_do_not_keep_the_loop_from_its_turn(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
    assert_int_equal(send(client.fd, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(loop_client_send(&client, "tick"), 0);
    endless = true;
    loop_stage_dispatch(*state);
    endless = false;
    assert_true(calls > 1);
    loop_client_expect(&client, "data: tick\n\n");
    loop_client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(
            events_without_end_do_not_keep_the_loop_from_its_turn, loop_stage_set_up, loop_stage_tear_down,
            (void *)(uintptr_t) & (const enum sse_poller){SSE_POLLER_EPOLL}),
    };

    return loop_stage_has(SSE_POLLER_EPOLL) ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}

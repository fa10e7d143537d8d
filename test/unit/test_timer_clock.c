/* SPDX-License-Identifier: MIT */
/* The timer of a loop's descriptor uses a clock that nobody can set. Fault 46. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/poller.h"

#include <errno.h>
#include <time.h>

#if defined(SSE_HAVE_TIMERFD) && defined(SSE_HAVE_EPOLL)

#include <sys/timerfd.h>

static int clock_of_timer = -1, flags_of_settime = -1;

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_timerfd_settime(int timer, int flags, const struct itimerspec *to, struct itimerspec *before);
int __wrap_timerfd_settime(int timer, int flags, const struct itimerspec *to, struct itimerspec *before);

int __wrap_timerfd_create(int clock, int flags)
{
    clock_of_timer = clock;
    return __real_timerfd_create(clock, flags);
}

int __wrap_timerfd_settime(int timer, int flags, const struct itimerspec *to, struct itimerspec *before)
{
    flags_of_settime = flags;
    return __real_timerfd_settime(timer, flags, to, before);
}

static void it_is_monotonic(void **state)
{
    struct poller *poller;

    (void)state;
    assert_int_equal(sse_poller_epoll_new(&poller, NULL), 0);
    assert_true(poller->descriptor(poller) >= 0);
    assert_int_equal(clock_of_timer, CLOCK_MONOTONIC);
    poller->set_timer(poller, 1000);
    assert_int_equal(flags_of_settime, 0);
    poller->free(poller);
}

#else

/* There is no other timer: without timerfd a loop has no descriptor. */
static void it_is_monotonic(void **state)
{
    struct poller *poller = NULL;

    (void)state;
    if (sse_poller_epoll_new(&poller, NULL) == -ENOTSUP) {
        assert_null(poller);
        return;
    }
    assert_int_equal(poller->descriptor(poller), -ENOTSUP);
    poller->free(poller);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_monotonic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

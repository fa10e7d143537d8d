/* SPDX-License-Identifier: MIT */
/* A signal that a write has raised is removed, however often that is interrupted. */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "output/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

static int interruptions;

int __real_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);

/* The bare library calls sigwait, which is never interrupted. That of musl calls this function. */
#ifdef SSE_BARE_SYSTEM
#define CAN_INTERRUPT false
#else
#define CAN_INTERRUPT true
#endif

int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    if (CAN_INTERRUPT && interruptions) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return __real_sigtimedwait(set, info, timeout);
}

static bool is_pending(int number)
{
    sigset_t pending;

    sigemptyset(&pending);
    assert_int_equal(sigpending(&pending), 0);
    return sigismember(&pending, number) == 1;
}

static bool is_blocked(int number)
{
    sigset_t mask;

    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return sigismember(&mask, number) == 1;
}

static void a_signal_is_taken_back(void **state)
{
    static const struct {
        int number;
        ssize_t result;
    } rows[] = {{SIGPIPE, -EPIPE}, {SIGXFSZ, -EFBIG}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int times = 0; times < 4; times++) {
            struct signal_guard guard;

            sse_signals_guard(&guard);
            assert_true(is_blocked(rows[i].number));
            assert_int_equal(pthread_kill(pthread_self(), rows[i].number), 0);
            assert_true(is_pending(rows[i].number));
            interruptions = times;
            sse_signals_release(&guard, rows[i].result);
            interruptions = 0;
            assert_false(is_pending(rows[i].number));
            assert_false(is_blocked(rows[i].number));
        }
    }
}

/* If no signal was raised, there is none to wait for. */
static void a_missing_signal_is_not_waited_for(void **state)
{
    static const ssize_t results[] = {-EPIPE, -EFBIG, -EAGAIN, 0, 9};

    (void)state;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct signal_guard guard;

        sse_signals_guard(&guard);
        sse_signals_release(&guard, results[i]);
        assert_false(is_blocked(SIGPIPE));
        assert_false(is_blocked(SIGXFSZ));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_taken_back),
        cmocka_unit_test(a_missing_signal_is_not_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

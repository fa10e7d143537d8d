/* SPDX-License-Identifier: MIT */
/* Every system call of every scenario fails with each possible error, once, and from then on. With
 * SSE_TEST_FIRST_ERRORS in the environment it fails with the first error of its row only, which is enough to count
 * the lines that are reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ERRORS_MAX 13

/** The possible faults of a call. */
struct row {
    enum faulty_call call;
    int errors[ERRORS_MAX]; /* errnos; below 0: a short result; 0 ends the list */
    size_t tried;
};

/*
 * From the manual pages, without errors that only a bad argument causes. Some calls have no other errors and are
 * omitted: clock_gettime (EINVAL, EFAULT), epoll_wait (EBADF, EFAULT, EINVAL; EINTR is here), timerfd_settime,
 * EPOLL_CTL_MOD and EPOLL_CTL_DEL.
 */
static struct row rows[] = {
    {.call = FAULTY_SEND,
     .errors = {EINTR, EAGAIN, EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETDOWN, ENOBUFS, ENOMEM, EBADF,
                -1, -100}},
    {.call = FAULTY_SENDMSG,
     .errors = {EINTR, EAGAIN, EPIPE, ECONNRESET, ENETUNREACH, ENOBUFS, ENOMEM, EBADF, -1, -100}},
    {.call = FAULTY_WRITEV,
     .errors = {EINTR, EAGAIN, EPIPE, EIO, ENOSPC, EFBIG, EDQUOT, EPERM, EBADF, -1, -100}},
    {.call = FAULTY_RECV,
     .errors = {EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, ENOTCONN, ENOBUFS, ENOMEM, EIO, EBADF}},
    {.call = FAULTY_WRITE, .errors = {EINTR}},
    {.call = FAULTY_READ, .errors = {EINTR, EAGAIN, EIO, -3}},
    {.call = FAULTY_POLL, .errors = {EINTR, EAGAIN, ENOMEM, EINVAL}},
    {.call = FAULTY_FCNTL, .errors = {EBADF}},
    {.call = FAULTY_CLOSE, .errors = {EINTR, EIO, ENOSPC}},
    {.call = FAULTY_SHUTDOWN, .errors = {ENOTCONN, ENOBUFS}},
    {.call = FAULTY_FSTAT, .errors = {EBADF, ENOMEM, EIO}},
    {.call = FAULTY_OPEN, .errors = {EINTR, EMFILE, ENFILE, ENOENT, EACCES, ENOMEM}},
    {.call = FAULTY_GETSOCKOPT, .errors = {ENOBUFS, EBADF}},
    {.call = FAULTY_SETSOCKOPT, .errors = {ENOPROTOOPT, ENOMEM, EINVAL}},
    {.call = FAULTY_PIPE, .errors = {EMFILE, ENFILE}},
    {.call = FAULTY_EVENTFD, .errors = {EMFILE, ENFILE, ENOMEM}},
    {.call = FAULTY_EPOLL_CREATE1, .errors = {EMFILE, ENFILE, ENOMEM}},
    {.call = FAULTY_EPOLL_CTL, .errors = {ENOMEM, ENOSPC}},
    {.call = FAULTY_EPOLL_WAIT, .errors = {EINTR}},
    {.call = FAULTY_TIMERFD_CREATE, .errors = {EMFILE, ENFILE, ENOMEM}},
    {.call = FAULTY_MUTEX_INIT, .errors = {EAGAIN, ENOMEM}},
    {.call = FAULTY_COND_INIT, .errors = {EAGAIN, ENOMEM}},
    {.call = FAULTY_CONDATTR_INIT, .errors = {ENOMEM}},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS == FAULTY_COUNT, "each call that can fail has a row");

static size_t total;
static int errors_tried = ERRORS_MAX;

/* Returns how many calls have failed, each in a separate run. */
static size_t sweep(const struct scenario *scenario, enum loop_kind kind, const struct row *row, int error,
                    bool for_good)
{
    struct fault fault = {
        .kind = FAULT_CALL, .call = row->call, .error = error, .nth = 1, .for_good = for_good};

    while (scenario_run(scenario, kind, &fault))
        fault.nth++;
    return fault.nth - 1;
}

static size_t sweep_row(const struct scenario *scenario, enum loop_kind kind, struct row *row)
{
    size_t before = row->tried;

    for (const int *error = row->errors; error < row->errors + errors_tried && *error; error++) {
        size_t once = sweep(scenario, kind, row, *error, false);

        /* If the call is not made, one error is enough. */
        if (!once)
            break;
        row->tried += once;
        /* Writing byte by byte takes too long. */
        if (*error != -1)
            row->tried += sweep(scenario, kind, row, *error, true);
    }
    return row->tried - before;
}

static void every_call_fails(void **state)
{
    const struct scenario *scenario = *state;

    for (enum loop_kind kind = 0; kind < LOOP_KINDS; kind++) {
        size_t tried = 0;

        if (!loop_kind_exists(kind))
            continue;
        assert_false(scenario_run(scenario, kind, &(struct fault){.kind = FAULT_NONE}));
        for (size_t i = 0; i < ROWS; i++)
            tried += sweep_row(scenario, kind, &rows[i]);
        assert_true(tried > 0);
        total += tried;
    }
}

/* Except those that only another build makes. */
static bool is_made_here(enum faulty_call call)
{
#ifdef SSE_HAVE_EVENTFD
    if (call == FAULTY_PIPE || call == FAULTY_FCNTL)
        return false;
#else
    if (call == FAULTY_EVENTFD)
        return false;
#endif
#ifndef SSE_HAVE_TIMERFD
    if (call == FAULTY_TIMERFD_CREATE)
        return false;
#endif
#ifndef SSE_HAVE_EPOLL
    if (call == FAULTY_EPOLL_CREATE1 || call == FAULTY_EPOLL_CTL || call == FAULTY_EPOLL_WAIT)
        return false;
#endif
    return true;
}

static void no_call_was_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        if (!rows[i].tried && is_made_here(rows[i].call))
            fail_msg("%s never failed", fault_call_name(rows[i].call));
}

int main(void)
{
    struct CMUnitTest tests[SCENARIOS + 1] = {
        [SCENARIOS] = {.name = "no_call_was_left_out", .test_func = no_call_was_left_out}};
    int failed;

    if (getenv("SSE_TEST_FIRST_ERRORS"))
        errors_tried = 1;
    for (size_t i = 0; i < SCENARIOS; i++)
        tests[i] = (struct CMUnitTest){.name = scenarios[i].name,
                                       .test_func = every_call_fails,
                                       .initial_state = (void *)(uintptr_t)&scenarios[i]};
    failed = cmocka_run_group_tests_name("system calls", tests, NULL, NULL);
    printf("fault points: %zu system calls\n", total);
    return failed;
}

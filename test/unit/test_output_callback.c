/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "output/output.h"

#include <errno.h>
#include <limits.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OFFERED 10

/* A write callback that is interrupted `interruptions` times, and then returns its result. */
struct script {
    int interruptions;
    ssize_t result;
    int calls;
    const struct iovec *iov;
    int count;
};

static char first[4], second[6];
static const struct iovec pieces[] = {
    {.iov_base = first, .iov_len = sizeof(first)},
    {.iov_base = second, .iov_len = sizeof(second)},
};

static ssize_t play(void *user, const struct iovec *iov, int count)
{
    struct script *script = user;

    script->calls++;
    script->iov = iov;
    script->count = count;
    return script->calls <= script->interruptions ? -EINTR : script->result;
}

static ssize_t write_to(struct script *script)
{
    const struct output output = {.callback = play, .user = script};

    return sse_callback_write(&output, pieces, COUNT(pieces));
}

/* Fault 12. */
static void results_are_returned_or_judged(void **state)
{
    static const struct {
        ssize_t result;
        ssize_t expected;
    } rows[] = {
        {1, 1},
        {3, 3},
        {4, 4},
        {5, 5},
        {OFFERED - 1, OFFERED - 1},
        {OFFERED, OFFERED},
        {0, -EAGAIN},
        {-EAGAIN, -EAGAIN},
        {-EWOULDBLOCK, -EAGAIN},
        {OFFERED + 1, -EIO},
        {INT_MAX, -EIO},
        {SSIZE_MAX, -EIO},
        {-1, -1},
        {-EPIPE, -EPIPE},
        {-ECONNRESET, -ECONNRESET},
        {-EIO, -EIO},
        {-EBADF, -EBADF},
        {-ENOBUFS, -ENOBUFS},
        {-4094, -4094},
        {-4095, -4095},
        {-4096, -EIO},
        {INT_MIN, -EIO},
        {-SSIZE_MAX, -EIO},
        {-SSIZE_MAX - 1, -EIO},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script = {.result = rows[i].result};

        assert_int_equal(write_to(&script), rows[i].expected);
        assert_int_equal(script.calls, 1);
    }
}

static void the_pieces_are_passed_on(void **state)
{
    struct script script = {.result = OFFERED};

    (void)state;
    assert_int_equal(write_to(&script), OFFERED);
    assert_ptr_equal(script.iov, pieces);
    assert_int_equal(script.count, COUNT(pieces));
}

/* The caller decides how often to try again, and whether the emitter is still open. */
static void an_interruption_is_returned(void **state)
{
    struct script script = {.interruptions = 1, .result = 7};

    (void)state;
    assert_int_equal(write_to(&script), -EINTR);
    assert_int_equal(script.calls, 1);
    assert_int_equal(write_to(&script), 7);
}

static void sizes_of_pieces_add_up(void **state)
{
    static const struct iovec empty = {.iov_base = first, .iov_len = 0};

    (void)state;
    assert_int_equal(sse_iovec_size(pieces, 0), 0);
    assert_int_equal(sse_iovec_size(&empty, 1), 0);
    assert_int_equal(sse_iovec_size(pieces, 1), sizeof(first));
    assert_int_equal(sse_iovec_size(pieces, COUNT(pieces)), OFFERED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_returned_or_judged),
        cmocka_unit_test(the_pieces_are_passed_on),
        cmocka_unit_test(an_interruption_is_returned),
        cmocka_unit_test(sizes_of_pieces_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

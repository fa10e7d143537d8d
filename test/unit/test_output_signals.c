/* SPDX-License-Identifier: MIT */
/* Signals that a write could raise. The program must not notice any of them. */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "channel.h"
#include "child.h"
#include "faulty_calls.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* How a program may handle a signal before the library's write raises it. */
enum disposition { DEFAULT, IGNORED, HANDLED, BLOCKED, PENDING, BLOCKED_AND_HANDLED, DISPOSITION_COUNT };

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
    (void)number;
    handled++;
}

static void arrange_signal(int number, enum disposition disposition)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;

    if (disposition == IGNORED)
        action.sa_handler = SIG_IGN;
    if (disposition == HANDLED || disposition == PENDING || disposition == BLOCKED_AND_HANDLED)
        action.sa_handler = count_signal;
    sigaction(number, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, number);
    if (disposition == BLOCKED || disposition == PENDING || disposition == BLOCKED_AND_HANDLED)
        sigprocmask(SIG_BLOCK, &set, NULL);
    else
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    if (disposition == PENDING)
        raise(number);
}

static bool same_mask(const sigset_t *left, const sigset_t *right)
{
    for (int number = 1; number < 64; number++) {
        if (sigismember(left, number) != sigismember(right, number))
            return false;
    }
    return true;
}

/* Writes, and checks that the signal's handling does not change. */
static void write_and_compare(struct channel *channel, int number, enum disposition disposition, int error)
{
    struct sigaction action_before, action_after;
    sigset_t mask_before, mask_after, pending;

    arrange_signal(number, disposition);
    sigaction(number, NULL, &action_before);
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    for (int i = 0; i < 3; i++)
        CHILD_EXPECT(channel_write_next(channel, 9) == error);
    sigprocmask(SIG_SETMASK, NULL, &mask_after);
    sigaction(number, NULL, &action_after);
    CHILD_EXPECT(same_mask(&mask_before, &mask_after));
    CHILD_EXPECT(action_before.sa_handler == action_after.sa_handler);
    CHILD_EXPECT(!sigpending(&pending));
    CHILD_EXPECT(sigismember(&pending, number) == (disposition == PENDING));
    CHILD_EXPECT(handled == 0);
    /* The program's own signal arrives, and no signal of the library does. */
    sigemptyset(&mask_after);
    sigprocmask(SIG_SETMASK, &mask_after, NULL);
    CHILD_EXPECT(handled == (disposition == PENDING));
}

static const enum channel_kind kinds_with_reader[] = {CHANNEL_STREAM_SOCKET, CHANNEL_PACKET_SOCKET,
                                                      CHANNEL_PIPE};

static void write_without_reader(int argument)
{
    enum disposition disposition = (enum disposition)(argument % DISPOSITION_COUNT);
    int variant = argument / DISPOSITION_COUNT;
    struct channel channel;

    channel_open(&channel, kinds_with_reader[variant / 2], variant % 2);
    CHILD_EXPECT(!channel_identify(&channel));
    close(channel.peer);
    write_and_compare(&channel, SIGPIPE, disposition, -EPIPE);
}

/* Fault 15. */
static void a_missing_reader_raises_no_signal(void **state)
{
    (void)state;
    for (int argument = 0; argument < 3 * 2 * DISPOSITION_COUNT; argument++)
        in_child(write_without_reader, argument);
}

static void write_past_the_file_size_limit(int argument)
{
    struct rlimit limit;
    struct channel channel;

    channel_open(&channel, CHANNEL_REGULAR_FILE, argument / DISPOSITION_COUNT);
    CHILD_EXPECT(!channel_identify(&channel));
    CHILD_EXPECT(!getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = 100;
    CHILD_EXPECT(!setrlimit(RLIMIT_FSIZE, &limit));
    CHILD_EXPECT(channel_write_next(&channel, 64) == 64);
    CHILD_EXPECT(channel_write_next(&channel, 64) == 36);
    write_and_compare(&channel, SIGXFSZ, (enum disposition)(argument % DISPOSITION_COUNT), -EFBIG);
    channel_receive_all(&channel);
    CHILD_EXPECT(channel.received == 100);
}

static void the_file_size_limit_raises_no_signal(void **state)
{
    (void)state;
    for (int argument = 0; argument < 2 * DISPOSITION_COUNT; argument++)
        in_child(write_past_the_file_size_limit, argument);
}

static void write_without_reader_after_an_interruption(int argument)
{
    struct channel channel;
    sigset_t pending;

    channel_open(&channel, CHANNEL_PIPE, argument);
    CHILD_EXPECT(!channel_identify(&channel));
    close(channel.peer);
    faulty_calls_fail(FAULTY_WRITEV, 0, 1, EINTR);
    CHILD_EXPECT(channel_write_next(&channel, 9) == -EPIPE);
    CHILD_EXPECT(!sigpending(&pending));
    CHILD_EXPECT(!sigismember(&pending, SIGPIPE));
}

static void an_interrupted_step_raises_no_signal(void **state)
{
    (void)state;
    for (int argument = 0; argument < 2; argument++)
        in_child(write_without_reader_after_an_interruption, argument);
}

/* Some drivers return the error and raise no signal. Then there is nothing to wait for. */
static void return_errors_without_signal(int argument)
{
    static const int errors[] = {EPIPE, EFBIG};
    struct channel channel;
    sigset_t before, after;

    channel_open(&channel, argument % 2 ? CHANNEL_REGULAR_FILE : CHANNEL_RAW_TERMINAL, argument / 2 % 2);
    CHILD_EXPECT(!channel_identify(&channel));
    sigprocmask(SIG_SETMASK, NULL, &before);
    faulty_calls_fail(FAULTY_WRITEV, 0, 1, errors[argument / 4]);
    CHILD_EXPECT(channel_write_next(&channel, 9) == -errors[argument / 4]);
    sigprocmask(SIG_SETMASK, NULL, &after);
    CHILD_EXPECT(same_mask(&before, &after));
    CHILD_EXPECT(channel_write_next(&channel, 9) > 0);
}

static void an_error_without_signal_blocks_nobody(void **state)
{
    (void)state;
    for (int argument = 0; argument < 8; argument++)
        in_child(return_errors_without_signal, argument);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_reader_raises_no_signal),
        cmocka_unit_test(the_file_size_limit_raises_no_signal),
        cmocka_unit_test(an_interrupted_step_raises_no_signal),
        cmocka_unit_test(an_error_without_signal_blocks_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

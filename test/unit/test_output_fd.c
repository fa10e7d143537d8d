/* SPDX-License-Identifier: MIT */
/* Tests for every kind of descriptor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "channel.h"
#include "child.h"
#include "faulty_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Writes in as many calls as needed. The peer has read everything before. */
static void write_whole(struct channel *channel, size_t size)
{
    while (size) {
        ssize_t written = channel_write_next(channel, size);

        /* A socket can be full after a few small pieces. */
        if (written == -EAGAIN && channel_is_socket(channel->kind) && channel->sent > channel->received) {
            channel_receive_all(channel);
            continue;
        }
        assert_true(written > 0);
        size -= (size_t)written;
    }
}

static void descriptors_are_identified(void **state)
{
    (void)state;
    for (int kind = 0; kind < CHANNEL_KIND_COUNT; kind++) {
        struct channel channel;
        bool is_socket = channel_is_socket((enum channel_kind)kind);

        channel_open(&channel, (enum channel_kind)kind, false);
        assert_int_equal(channel_identify(&channel), 0);
        assert_int_equal(channel.output_kind, is_socket ? OUTPUT_SOCKET : OUTPUT_FILE);
        assert_int_equal(channel.file.number, channel.ours);
        channel_close(&channel);
        assert_int_equal(channel_identify(&channel), -EBADF);
    }
    assert_int_equal(sse_output_identify(-1, &(struct output_file){.number = 0}), -EBADF);
}

/* The number of an inode says nothing without its device. */
static void a_file_of_another_device_is_not_written_to(void **state)
{
    struct channel channel;

    (void)state;
    channel_open(&channel, CHANNEL_REGULAR_FILE, false);
    assert_int_equal(channel_identify(&channel), 0);
    channel.file.device++;
    assert_int_equal(channel_write_next(&channel, 10), -EBADF);
    channel.file.device--;
    assert_int_equal(channel_write_next(&channel, 10), 10);
    channel_close(&channel);
}

static void check_small_writes(struct channel *channel)
{
    for (size_t size = 1; size <= 200; size++) {
        write_whole(channel, size);
        channel_receive_all(channel);
    }
}

static void bytes_arrive_whatever_the_descriptor(void **state)
{
    (void)state;
    channel_for_each(check_small_writes);
}

/* Sizes after which a pipe or a terminal has every kind of odd room. */
static const size_t sizes[] = {1, 5, 255, 256, 257, 4095, 4096, 4097, 3, 12000, 2, 60000, 31};

static void fill(struct channel *channel, size_t first_size)
{
    int refusals = 0;

    for (size_t i = first_size; refusals < 100; i++) {
        ssize_t written = channel_write_next(channel, sizes[i % COUNT(sizes)]);

        if (written < 0) {
            assert_int_equal(written, -EAGAIN);
            refusals++;
            /* The kernel passes on a terminal's bytes after some time. Yielding first is expensive while other
             * programs compute. */
            if (refusals % 10 == 0)
                sched_yield();
        }
        if (channel->kind == CHANNEL_REGULAR_FILE && channel->sent > 2000000)
            return;
    }
}

static void check_stuck_peer(struct channel *channel)
{
    bool is_slow = channel->kind >= CHANNEL_RAW_TERMINAL && channel->kind <= CHANNEL_TERMINAL_MASTER;

    for (size_t round = 0; round < (is_slow ? 4 : COUNT(sizes)); round++) {
        fill(channel, round);
        channel_receive_all(channel);
        if (channel->kind == CHANNEL_REGULAR_FILE)
            return;
    }
}

/* Row L7. Fault 28. */
static void a_peer_that_does_not_read_blocks_nobody(void **state)
{
    (void)state;
    channel_for_each(check_stuck_peer);
}

static void interrupt_all(int first, int times)
{
    static const enum faulty_call calls[] = {FAULTY_SEND, FAULTY_SENDMSG, FAULTY_WRITEV, FAULTY_POLL};

    for (size_t i = 0; i < COUNT(calls); i++)
        faulty_calls_fail(calls[i], first, times, EINTR);
}

static void check_interrupted(struct channel *channel)
{
    for (int times = 0; times < 40; times++) {
        interrupt_all(0, times);
        write_whole(channel, times % 2 ? 1 : 64);
        interrupt_all(1, times);
        write_whole(channel, 5);
        faulty_calls_reset();
        channel_receive_all(channel);
    }
}

static void interrupted_calls_are_made_again(void **state)
{
    (void)state;
    channel_for_each(check_interrupted);
}

static enum faulty_call writing_call(const struct channel *channel)
{
    return channel->output_kind == OUTPUT_SOCKET ? FAULTY_SEND : FAULTY_WRITEV;
}

static void check_errors(struct channel *channel)
{
    static const struct {
        int error;
        int expected;
    } rows[] = {
        {0, -EAGAIN},          {EAGAIN, -EAGAIN},         {EWOULDBLOCK, -EAGAIN},
        {EPIPE, -EPIPE},       {EFBIG, -EFBIG},           {EIO, -EIO},
        {ENOSPC, -ENOSPC},     {EBADF, -EBADF},           {ENOBUFS, -ENOBUFS},
        {EDQUOT, -EDQUOT},     {ECONNRESET, -ECONNRESET}, {ETIMEDOUT, -ETIMEDOUT},
        {ENETDOWN, -ENETDOWN}, {ENOMEM, -ENOMEM},         {EHOSTUNREACH, -EHOSTUNREACH},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        faulty_calls_fail(writing_call(channel), 0, 1, rows[i].error);
        assert_int_equal(channel_write_next(channel, 1), rows[i].expected);
        assert_int_equal(faulty_calls_left(writing_call(channel)), 0);
        if (channel->output_kind == OUTPUT_SOCKET) {
            faulty_calls_fail(FAULTY_SENDMSG, 0, 1, rows[i].error);
            faulty_calls_fail(FAULTY_SEND, 0, 1, rows[i].error); /* outputs where pieces are written one by one */
            assert_int_equal(channel_write_next(channel, 8), rows[i].expected);
            faulty_calls_reset();
        }
    }
    write_whole(channel, 100);
    channel_receive_all(channel);
}

static void errors_are_returned(void **state)
{
    (void)state;
    channel_for_each(check_errors);
}

/* The bytes of the earlier steps are returned first. The next call returns the error. */
static void check_error_after_a_step(struct channel *channel)
{
    if (channel->output_kind == OUTPUT_SOCKET || channel->kind == CHANNEL_REGULAR_FILE)
        return;
    faulty_calls_fail(FAULTY_WRITEV, 1, 1, EIO);
    assert_int_equal(channel_write_next(channel, CHANNEL_WRITE_MAX),
                     channel->kind == CHANNEL_PIPE ? PIPE_BUF : 1);
    faulty_calls_fail(FAULTY_WRITEV, 0, 1, EIO);
    assert_int_equal(channel_write_next(channel, 10), -EIO);
    faulty_calls_fail(FAULTY_WRITEV, 1, 1, EAGAIN);
    assert_true(channel_write_next(channel, CHANNEL_WRITE_MAX) > 0);
    channel_receive_all(channel);
}

static void an_error_after_a_step_does_not_hide_its_bytes(void **state)
{
    (void)state;
    channel_for_each(check_error_after_a_step);
}

static void check_work_of_one_call(struct channel *channel)
{
    if (channel->output_kind == OUTPUT_SOCKET || channel->kind == CHANNEL_REGULAR_FILE)
        return;
    faulty_calls_reset();
    (void)channel_write_next(channel, CHANNEL_WRITE_MAX);
    assert_in_range(faulty_calls_made(FAULTY_WRITEV), 1, 256);
    channel_receive_all(channel);
}

static void one_call_is_bounded(void **state)
{
    (void)state;
    channel_for_each(check_work_of_one_call);
}

static void check_poll_fails(struct channel *channel)
{
    if (channel->output_kind == OUTPUT_SOCKET || channel->kind == CHANNEL_REGULAR_FILE)
        return;
    faulty_calls_fail(FAULTY_POLL, 0, 1, ENOMEM);
    assert_int_equal(channel_write_next(channel, 10), -EAGAIN);
    assert_true(channel_is_silent(channel));
}

static void without_poll_there_is_no_room(void **state)
{
    (void)state;
    channel_for_each(check_poll_fails);
}

static void check_closed(struct channel *channel)
{
    int copy = dup(channel->ours);

    close(channel->ours);
    assert_int_equal(channel_write_next(channel, 10), -EBADF);
    assert_int_equal(channel_write_next(channel, 1), -EBADF);
    assert_int_equal(dup2(copy, channel->ours), channel->ours);
    close(copy);
}

/* Fault 23. */
static void a_closed_descriptor_is_an_error(void **state)
{
    (void)state;
    channel_for_each(check_closed);
}

static bool can_be_told_apart(enum channel_kind from, enum channel_kind to)
{
    if (channel_is_socket(from))
        return !channel_is_socket(to);
    return from != CHANNEL_TERMINAL_MASTER || to != CHANNEL_TERMINAL_MASTER;
}

/* The number of one descriptor is given to another of any kind, except another socket. */
static void check_reused_number(enum channel_kind from, enum channel_kind to, bool nonblocking)
{
    struct channel old, stranger;
    struct stat status;

    channel_open(&old, from, nonblocking);
    channel_open(&stranger, to, nonblocking);
    assert_int_equal(channel_identify(&old), 0);
    write_whole(&old, 10);
    assert_int_equal(dup2(stranger.ours, old.ours), old.ours);
    for (size_t size = 1; size < 20; size += 9)
        assert_int_equal(channel_write_next(&old, size), channel_is_socket(from) ? -ENOTSOCK : -EBADF);
    if (to == CHANNEL_REGULAR_FILE) {
        assert_int_equal(fstat(stranger.ours, &status), 0);
        assert_int_equal(status.st_size, 0);
    } else {
        assert_true(channel_is_silent(&stranger));
    }
    channel_close(&old);
    channel_close(&stranger);
}

static void a_number_that_is_used_again_is_not_written_to(void **state)
{
    (void)state;
    for (int from = 0; from < CHANNEL_KIND_COUNT; from++) {
        for (int to = 0; to < CHANNEL_KIND_COUNT; to++) {
            if (!can_be_told_apart((enum channel_kind)from, (enum channel_kind)to))
                continue;
            check_reused_number((enum channel_kind)from, (enum channel_kind)to, false);
            check_reused_number((enum channel_kind)from, (enum channel_kind)to, true);
        }
    }
}

static void write_without_spare_descriptors(int argument)
{
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = 1};
    struct channel channel;

    channel_open(&channel, (enum channel_kind)(argument / 2), argument % 2);
    CHILD_EXPECT(!channel_identify(&channel));
    CHILD_EXPECT(!setrlimit(RLIMIT_NOFILE, &none));
    CHILD_EXPECT(dup(channel.ours) < 0);
    for (size_t i = 0; i < COUNT(sizes); i++)
        CHILD_EXPECT(channel_write_next(&channel, 20) > 0);
    channel_receive_all(&channel);
}

/* Fault 26. */
static void no_descriptor_is_needed(void **state)
{
    (void)state;
    for (int argument = 0; argument < 2 * CHANNEL_KIND_COUNT; argument++)
        in_child(write_without_spare_descriptors, argument);
}

static int reset(void **state)
{
    (void)state;
    faulty_calls_reset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(descriptors_are_identified, reset),
        cmocka_unit_test_setup(a_file_of_another_device_is_not_written_to, reset),
        cmocka_unit_test_setup(bytes_arrive_whatever_the_descriptor, reset),
        cmocka_unit_test_setup(a_peer_that_does_not_read_blocks_nobody, reset),
        cmocka_unit_test_setup(interrupted_calls_are_made_again, reset),
        cmocka_unit_test_setup(errors_are_returned, reset),
        cmocka_unit_test_setup(an_error_after_a_step_does_not_hide_its_bytes, reset),
        cmocka_unit_test_setup(one_call_is_bounded, reset),
        cmocka_unit_test_setup(without_poll_there_is_no_room, reset),
        cmocka_unit_test_setup(a_closed_descriptor_is_an_error, reset),
        cmocka_unit_test_setup(a_number_that_is_used_again_is_not_written_to, reset),
        cmocka_unit_test_setup(no_descriptor_is_needed, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

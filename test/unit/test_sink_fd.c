/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "output/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The system calls of the sink, interrupted as often as a test says: signals almost never meet
 * calls that do not sleep. */
extern long syscall(long number, ...);

static int interruptions;

static bool is_interrupted(void)
{
    if (!interruptions)
        return false;
    interruptions--;
    errno = EINTR;
    return true;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return is_interrupted() ? -1 : (ssize_t)syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    return is_interrupted() ? -1 : (ssize_t)syscall(SYS_writev, fd, iov, count);
}

#ifdef SYS_poll
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_poll, fds, count, timeout);
}
#endif

enum kind {
    STREAM_SOCKET,
    PACKET_SOCKET,
    PIPE,
    TERMINAL,        /* raw */
    COOKED_TERMINAL, /* LF becomes CR LF */
    TERMINAL_MASTER,
    REGULAR_FILE,
    KIND_COUNT
};

struct channel {
    enum kind kind;
    int ours;
    int peer;
    off_t read_offset; /* of a regular file */
    size_t sent;
    size_t received;
};

static void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    assert_true(flags >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
}

static void make_raw(int fd)
{
    struct termios settings;

    assert_int_equal(tcgetattr(fd, &settings), 0);
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_lflag = 0;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    assert_int_equal(tcsetattr(fd, TCSANOW, &settings), 0);
}

static void open_terminal(struct channel *channel)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    if (channel->kind != COOKED_TERMINAL)
        make_raw(slave);
    channel->ours = channel->kind == TERMINAL_MASTER ? master : slave;
    channel->peer = channel->kind == TERMINAL_MASTER ? slave : master;
}

static void open_file(struct channel *channel)
{
    FILE *file = tmpfile();

    assert_non_null(file);
    channel->ours = dup(fileno(file));
    channel->peer = dup(fileno(file));
    fclose(file);
    assert_true(channel->ours >= 0 && channel->peer >= 0);
}

static struct channel open_channel(enum kind kind, bool nonblocking)
{
    struct channel channel = {.kind = kind};
    int ends[2] = {-1, -1};

    switch (kind) {
    case STREAM_SOCKET:
    case PACKET_SOCKET:
        assert_int_equal(socketpair(AF_UNIX, kind == STREAM_SOCKET ? SOCK_STREAM : SOCK_SEQPACKET, 0, ends),
                         0);
        channel.ours = ends[0];
        channel.peer = ends[1];
        break;
    case PIPE:
        assert_int_equal(pipe(ends), 0);
        channel.ours = ends[1];
        channel.peer = ends[0];
        break;
    case REGULAR_FILE:
        open_file(&channel);
        break;
    default:
        open_terminal(&channel);
    }
    if (nonblocking)
        set_nonblocking(channel.ours);
    return channel;
}

static void close_channel(struct channel *channel)
{
    close(channel->ours);
    close(channel->peer);
}

/* What is sent is a fixed stream of text with short and very long lines, so that a gap or a repeat
 * shows wherever it is. It repeats after a prime number of bytes; the rest lets any piece lie in one
 * run. */
#define PERIOD 131071
#define PIECE_MAX 60000

static char text[PERIOD + PIECE_MAX];

static void make_text(void)
{
    uint32_t random = 1;

    for (size_t i = 0; i < sizeof(text); i++) {
        random = random * 1664525 + 1013904223;
        text[i] = i < PERIOD ? (char)('a' + (random >> 24) % 26) : text[i - PERIOD];
        if (i < PERIOD && i % 20000 < 10000 && (random >> 8) % 9 == 0)
            text[i] = '\n';
    }
}

/* A descriptor as an emitter keeps it. */
struct opened {
    int kind;
    struct sink sink;
    struct sink_file file;
};

static int open_sink(struct opened *sink, int fd)
{
    sink->kind = sse_sink_identify(fd, &sink->file);
    if (sink->kind == SINK_SOCKET)
        sink->sink = (struct sink){.number = fd};
    else
        sink->sink = (struct sink){.file = &sink->file};
    return sink->kind < 0 ? sink->kind : 0;
}

static ssize_t write_to(const struct opened *sink, const struct iovec *iov, int count)
{
    return sink->kind == SINK_SOCKET ? sse_sink_write_socket(&sink->sink, iov, count)
                                     : sse_sink_write_file(&sink->sink, iov, count);
}

/* Writes the next `size` bytes of the stream in up to four pieces. */
static ssize_t write_next(const struct opened *sink, struct channel *channel, size_t size)
{
    char *from = text + channel->sent % PERIOD;
    struct iovec iov[4];
    size_t piece = size / 4;
    int count = 0;
    ssize_t result;

    assert_true(size > 0 && size <= PIECE_MAX);
    for (size_t at = 0; at < size; at += iov[count++].iov_len) {
        iov[count].iov_base = from + at;
        iov[count].iov_len = piece && count < 3 ? piece : size - at;
    }
    result = write_to(sink, iov, count);
    assert_int_not_equal(result, 0);
    assert_true(result <= (ssize_t)size);
    if (result > 0)
        channel->sent += (size_t)result;
    return result;
}

static void check_received(struct channel *channel, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (channel->kind == COOKED_TERMINAL && bytes[i] == '\r')
            continue;
        if (bytes[i] != text[channel->received % PERIOD])
            fail_msg("byte %zu differs", channel->received);
        channel->received++;
    }
}

/* Reads until all that was sent has come. */
static void receive_all(struct channel *channel)
{
    static char buffer[65536]; /* no packet is larger */

    while (channel->received < channel->sent) {
        ssize_t size;

        if (channel->kind == REGULAR_FILE) {
            size = pread(channel->peer, buffer, sizeof(buffer), channel->read_offset);
            channel->read_offset += size > 0 ? size : 0;
        } else {
            size = read(channel->peer, buffer, sizeof(buffer));
        }
        assert_true(size > 0);
        check_received(channel, buffer, (size_t)size);
    }
    assert_int_equal(channel->received, channel->sent);
}

static bool nothing_arrived(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 0;
}

/* The body runs in a process of its own: what it does to signals and limits ends with it. */
static void in_child(void (*body)(int argument), int argument)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child) {
        body(argument);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d, argument %d", WTERMSIG(status), argument);
    if (WEXITSTATUS(status))
        fail_msg("see above, argument %d", argument);
}

/* For a child, whose failure is its exit status. */
static void require(bool holds, int line)
{
    if (holds)
        return;
    fprintf(stderr, "test_sink_fd.c:%d\n", line);
    _exit(1);
}

#define EXPECT(condition) require(condition, __LINE__)

static void test_open(void **state)
{
    struct opened sink;
    struct channel channel = open_channel(PIPE, false);

    (void)state;
    assert_int_equal(open_sink(&sink, -1), -EBADF);
    close_channel(&channel);
    assert_int_equal(open_sink(&sink, channel.ours), -EBADF);
}

static void for_each_channel(void (*check)(const struct opened *sink, struct channel *channel))
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
            struct channel channel = open_channel((enum kind)kind, nonblocking);
            int flags = fcntl(channel.ours, F_GETFL);
            struct opened sink;

            assert_int_equal(open_sink(&sink, channel.ours), 0);
            check(&sink, &channel);
            assert_int_equal(fcntl(channel.ours, F_GETFL), flags);
            close_channel(&channel);
        }
    }
}

static void check_small_writes(const struct opened *sink, struct channel *channel)
{
    for (size_t size = 1; size <= 200; size++) {
        ssize_t written = write_next(sink, channel, size);

        assert_true(written > 0);
        receive_all(channel);
    }
}

static void test_bytes_arrive_whatever_the_descriptor(void **state)
{
    (void)state;
    for_each_channel(check_small_writes);
}

/* Sizes that leave a pipe or a terminal with every kind of odd room. */
static const size_t sizes[] = {1, 5, 255, 256, 257, 4095, 4096, 4097, 3, 12000, 2, 60000, 31};

static void fill(const struct opened *sink, struct channel *channel, size_t first_size)
{
    int refusals = 0;

    for (size_t i = first_size; refusals < 100; i++) {
        ssize_t written = write_next(sink, channel, sizes[i % COUNT(sizes)]);

        if (written < 0) {
            assert_int_equal(written, -EAGAIN);
            refusals++;
            /* The kernel hands on what a terminal took in its own time. A yield is dear where others compute. */
            if (refusals % 10 == 0)
                sched_yield();
        }
        if (channel->kind == REGULAR_FILE && channel->sent > 2000000)
            return;
    }
}

static void check_stuck_peer(const struct opened *sink, struct channel *channel)
{
    for (size_t round = 0; round < 2 * COUNT(sizes); round++) {
        fill(sink, channel, round);
        receive_all(channel);
        if (channel->kind == REGULAR_FILE)
            return;
    }
}

static void test_a_peer_that_does_not_read_blocks_nobody(void **state)
{
    (void)state;
    for_each_channel(check_stuck_peer);
}

static void check_interrupted(const struct opened *sink, struct channel *channel)
{
    for (int times = 0; times < 40; times++) {
        ssize_t written;

        interruptions = times;
        written = write_next(sink, channel, 64);
        assert_true(written > 0);
        assert_int_equal(interruptions, 0);
        receive_all(channel);
    }
}

static void test_interrupted_calls_are_made_again(void **state)
{
    (void)state;
    for_each_channel(check_interrupted);
}

/* What a program may have done about a signal before the sink raises it. */
enum disposition { DEFAULT, IGNORED, HANDLED, BLOCKED, PENDING, BLOCKED_AND_HANDLED, DISPOSITION_COUNT };

static volatile sig_atomic_t handled;

static void count_signal(int signal_number)
{
    (void)signal_number;
    handled++;
}

static void arrange_signal(int signal_number, enum disposition disposition)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;

    if (disposition == IGNORED)
        action.sa_handler = SIG_IGN;
    if (disposition == HANDLED || disposition == PENDING || disposition == BLOCKED_AND_HANDLED)
        action.sa_handler = count_signal;
    sigaction(signal_number, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    if (disposition == BLOCKED || disposition == PENDING || disposition == BLOCKED_AND_HANDLED)
        sigprocmask(SIG_BLOCK, &set, NULL);
    else
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    if (disposition == PENDING)
        raise(signal_number);
}

static bool same_mask(const sigset_t *left, const sigset_t *right)
{
    for (int number = 1; number < 64; number++) {
        if (sigismember(left, number) != sigismember(right, number))
            return false;
    }
    return true;
}

/* Writes through the sink, and sees that nothing about the signal is changed by it. */
static void write_and_compare(const struct opened *sink, int signal_number, enum disposition disposition,
                              int error)
{
    struct iovec iov = {.iov_base = text, .iov_len = 9};
    struct sigaction action_before, action_after;
    sigset_t mask_before, mask_after, pending;

    arrange_signal(signal_number, disposition);
    sigaction(signal_number, NULL, &action_before);
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    for (int i = 0; i < 3; i++)
        EXPECT(write_to(sink, &iov, 1) == error);
    sigprocmask(SIG_SETMASK, NULL, &mask_after);
    sigaction(signal_number, NULL, &action_after);
    EXPECT(same_mask(&mask_before, &mask_after));
    EXPECT(action_before.sa_handler == action_after.sa_handler);
    EXPECT(!sigpending(&pending));
    EXPECT(sigismember(&pending, signal_number) == (disposition == PENDING));
    EXPECT(handled == 0);
    /* An application's own signal arrives, and one of the sink's does not. */
    sigemptyset(&mask_after);
    sigprocmask(SIG_SETMASK, &mask_after, NULL);
    EXPECT(handled == (disposition == PENDING));
}

static void write_without_reader(int argument)
{
    static const enum kind kinds[] = {STREAM_SOCKET, PACKET_SOCKET, PIPE};
    enum disposition disposition = (enum disposition)(argument % DISPOSITION_COUNT);
    int variant = argument / DISPOSITION_COUNT;
    struct channel channel = open_channel(kinds[variant / 2], variant % 2);
    struct opened sink;

    EXPECT(!open_sink(&sink, channel.ours));
    close(channel.peer);
    write_and_compare(&sink, SIGPIPE, disposition, -EPIPE);
}

static void test_no_reader_raises_no_signal(void **state)
{
    (void)state;
    for (int argument = 0; argument < 3 * 2 * DISPOSITION_COUNT; argument++)
        in_child(write_without_reader, argument);
}

static void write_past_the_file_size_limit(int argument)
{
    const struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
    struct channel channel = open_channel(REGULAR_FILE, argument / DISPOSITION_COUNT);
    struct opened sink;

    EXPECT(!open_sink(&sink, channel.ours));
    EXPECT(!setrlimit(RLIMIT_FSIZE, &limit));
    EXPECT(write_next(&sink, &channel, 64) == 64);
    EXPECT(write_next(&sink, &channel, 64) == 36);
    write_and_compare(&sink, SIGXFSZ, (enum disposition)(argument % DISPOSITION_COUNT), -EFBIG);
    receive_all(&channel);
    EXPECT(channel.received == 100);
}

static void test_file_size_limit_raises_no_signal(void **state)
{
    (void)state;
    for (int argument = 0; argument < 2 * DISPOSITION_COUNT; argument++)
        in_child(write_past_the_file_size_limit, argument);
}

static void check_closed(const struct opened *sink, struct channel *channel)
{
    int copy = dup(channel->ours);

    close(channel->ours);
    assert_int_equal(write_next(sink, channel, 10), -EBADF);
    assert_int_equal(dup2(copy, channel->ours), channel->ours);
    close(copy);
}

static void test_closed_descriptor(void **state)
{
    (void)state;
    for_each_channel(check_closed);
}

/* The number of one descriptor is given to another, of any kind but the socket's own. */
static void check_reused_number(enum kind from, enum kind to, bool nonblocking)
{
    struct channel old = open_channel(from, nonblocking);
    struct channel stranger = open_channel(to, nonblocking);
    bool from_socket = from == STREAM_SOCKET || from == PACKET_SOCKET;
    struct opened sink;
    struct stat status;

    /* Two sockets, and two masters, cannot be told apart. */
    if (from_socket && (to == STREAM_SOCKET || to == PACKET_SOCKET))
        goto close_all;
    if (from == TERMINAL_MASTER && to == TERMINAL_MASTER)
        goto close_all;
    assert_int_equal(open_sink(&sink, old.ours), 0);
    assert_true(write_next(&sink, &old, 10) > 0);
    assert_int_equal(dup2(stranger.ours, old.ours), old.ours);
    for (int i = 0; i < 3; i++)
        assert_int_equal(write_next(&sink, &old, 10), from_socket ? -ENOTSOCK : -EBADF);
    if (to == REGULAR_FILE) {
        assert_int_equal(fstat(stranger.ours, &status), 0);
        assert_int_equal(status.st_size, 0);
    } else {
        assert_true(nothing_arrived(stranger.peer));
    }
close_all:
    close_channel(&old);
    close_channel(&stranger);
}

static void test_reused_number(void **state)
{
    (void)state;
    for (int from = 0; from < KIND_COUNT; from++) {
        for (int to = 0; to < KIND_COUNT; to++) {
            check_reused_number((enum kind)from, (enum kind)to, false);
            check_reused_number((enum kind)from, (enum kind)to, true);
        }
    }
}

static void write_without_spare_descriptors(int argument)
{
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = 1};
    struct channel channel = open_channel((enum kind)(argument / 2), argument % 2);
    struct opened sink;

    EXPECT(!open_sink(&sink, channel.ours));
    EXPECT(!setrlimit(RLIMIT_NOFILE, &none));
    EXPECT(dup(channel.ours) < 0);
    for (size_t i = 0; i < COUNT(sizes); i++)
        EXPECT(write_next(&sink, &channel, 20) > 0);
    receive_all(&channel);
}

static void test_no_descriptor_is_needed(void **state)
{
    (void)state;
    for (int argument = 0; argument < 2 * KIND_COUNT; argument++)
        in_child(write_without_spare_descriptors, argument);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_bytes_arrive_whatever_the_descriptor),
        cmocka_unit_test(test_a_peer_that_does_not_read_blocks_nobody),
        cmocka_unit_test(test_interrupted_calls_are_made_again),
        cmocka_unit_test(test_no_reader_raises_no_signal),
        cmocka_unit_test(test_file_size_limit_raises_no_signal),
        cmocka_unit_test(test_closed_descriptor),
        cmocka_unit_test(test_reused_number),
        cmocka_unit_test(test_no_descriptor_is_needed),
    };

    make_text();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

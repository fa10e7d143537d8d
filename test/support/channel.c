/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pseudo-terminals, OLCUC */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "channel.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* Text with short and very long lines. It repeats after a prime number of bytes. The buffer is larger, so that
 * every piece is contiguous. */
#define PERIOD 131071

static char text[PERIOD + CHANNEL_WRITE_MAX];

static void make_text(void)
{
    uint32_t random = 1;

    if (text[0])
        return;
    for (size_t i = 0; i < sizeof(text); i++) {
        random = random * 1664525 + 1013904223;
        text[i] = i < PERIOD ? (char)('a' + (random >> 24) % 26) : text[i - PERIOD];
        if (i < PERIOD && i % 20000 < 10000 && (random >> 8) % 9 == 0)
            text[i] = '\n';
    }
}

static void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    assert_true(flags >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
}

static tcflag_t output_flags(enum channel_kind kind)
{
    if (kind == CHANNEL_COOKED_TERMINAL)
        return OPOST | ONLCR;
    if (kind == CHANNEL_UPPER_TERMINAL)
        return OPOST | ONLCR | OLCUC;
    return 0;
}

static void set_up_terminal(int fd, enum channel_kind kind)
{
    struct termios settings;

    assert_int_equal(tcgetattr(fd, &settings), 0);
    settings.c_iflag = 0;
    settings.c_oflag = output_flags(kind);
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
    set_up_terminal(slave, channel->kind);
    channel->ours = channel->kind == CHANNEL_TERMINAL_MASTER ? master : slave;
    channel->peer = channel->kind == CHANNEL_TERMINAL_MASTER ? slave : master;
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

static void open_pair(struct channel *channel)
{
    int ends[2];

    if (channel->kind == CHANNEL_PIPE)
        assert_int_equal(pipe(ends), 0);
    else if (channel->kind == CHANNEL_STREAM_SOCKET)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    channel->ours = ends[1];
    channel->peer = ends[0];
}

void channel_open(struct channel *channel, enum channel_kind kind, bool nonblocking)
{
    make_text();
    *channel = (struct channel){.kind = kind};
    if (kind == CHANNEL_REGULAR_FILE)
        open_file(channel);
    else if (kind == CHANNEL_PIPE || channel_is_socket(kind))
        open_pair(channel);
    else
        open_terminal(channel);
    if (nonblocking)
        set_nonblocking(channel->ours);
}

void channel_close(struct channel *channel)
{
    close(channel->ours);
    close(channel->peer);
}

int channel_identify(struct channel *channel)
{
    channel->output_kind = sse_output_identify(channel->ours, &channel->file);
    if (channel->output_kind == OUTPUT_SOCKET)
        channel->output = (struct output){.number = channel->ours};
    else
        channel->output = (struct output){.file = &channel->file};
    return channel->output_kind < 0 ? channel->output_kind : 0;
}

ssize_t channel_write_next(struct channel *channel, size_t size)
{
    char *from = text + channel->sent % PERIOD;
    struct iovec iov[4];
    size_t piece = size / 4;
    int count = 0;
    ssize_t result;

    assert_true(size > 0 && size <= CHANNEL_WRITE_MAX);
    for (size_t at = 0; at < size; at += iov[count++].iov_len) {
        iov[count].iov_base = from + at;
        iov[count].iov_len = piece && count < 3 ? piece : size - at;
    }
    result = sse_output_write(&channel->output, (enum output_kind)channel->output_kind, iov, count);
    assert_int_not_equal(result, 0);
    assert_true(result <= (ssize_t)size);
    if (result > 0)
        channel->sent += (size_t)result;
    return result;
}

static char expected_byte(const struct channel *channel)
{
    char byte = text[channel->received % PERIOD];

    return channel->kind == CHANNEL_UPPER_TERMINAL ? (char)toupper(byte) : byte;
}

static void check_received(struct channel *channel, const char *bytes, size_t size)
{
    bool cooked = channel->kind == CHANNEL_COOKED_TERMINAL || channel->kind == CHANNEL_UPPER_TERMINAL;

    for (size_t i = 0; i < size; i++) {
        if (cooked && bytes[i] == '\r')
            continue;
        if (bytes[i] != expected_byte(channel))
            fail_msg("kind %d: byte %zu differs", (int)channel->kind, channel->received);
        channel->received++;
    }
}

void channel_receive_all(struct channel *channel)
{
    static char buffer[65536]; /* no packet is larger */

    while (channel->received < channel->sent) {
        ssize_t size;

        if (channel->kind == CHANNEL_REGULAR_FILE) {
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

bool channel_is_silent(const struct channel *channel)
{
    struct pollfd poll_fd = {.fd = channel->peer, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 0;
}

bool channel_is_socket(enum channel_kind kind)
{
    return kind == CHANNEL_STREAM_SOCKET || kind == CHANNEL_PACKET_SOCKET;
}

void channel_for_each(void (*check)(struct channel *channel))
{
    for (int kind = 0; kind < CHANNEL_KIND_COUNT; kind++) {
        for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
            struct channel channel;
            int flags;

            channel_open(&channel, (enum channel_kind)kind, nonblocking);
            flags = fcntl(channel.ours, F_GETFL);
            assert_int_equal(channel_identify(&channel), 0);
            check(&channel);
            assert_int_equal(fcntl(channel.ours, F_GETFL), flags);
            channel_close(&channel);
        }
    }
}

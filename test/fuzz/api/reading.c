/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <stdlib.h>

/* The readers of PULL emitters, waits of 0 milliseconds, and the clients of sockets. */

#define READ_MAX 8192

static void expect_end(struct client *client, const struct sse_emitter_info *before, long result)
{
    if (before->state == SSE_STATE_CLOSED)
        fuzz_expect(result == end_error(before), "client %zu: its reader is told %ld, not %d", client->number,
                    result, end_error(before));
    else
        fuzz_expect(result >= 0 || (is_usable(client) && look(client).state == SSE_STATE_CLOSED),
                    "client %zu: its reader is told %ld", client->number, result);
}

void read_emitter(struct client *client, size_t size)
{
    struct sse_emitter_info info = look(client);
    static char bytes[FRAMES_MAX][READ_MAX];
    char *buffer = bytes[client->world->depth];
    ssize_t result;

    client->shown_count = 0;
    enter(client->world, IN_READING, client, "read");
    result = sse_emitter_read(client->emitter, buffer, size < READ_MAX ? size : READ_MAX);
    leave(client->world);
    expect_end(client, &info, result);
    fuzz_expect(result <= (ssize_t)size, "client %zu: reads %zd of %zu", client->number, result, size);
    if (result > 0)
        stream_feed(client, buffer, (size_t)result);
}

/* A copy, to check that the bytes do not change. */
static void keep_shown(struct client *client)
{
    size_t size = 0;
    char *copy;

    for (int i = 0; i < client->shown_count; i++)
        size += client->shown[i].iov_len;
    copy = fuzz_room(&client->world->texts, size);
    client->shown_copy = (struct sse_text){.ptr = copy, .len = size};
    for (int i = 0; i < client->shown_count; i++) {
        memcpy(copy, client->shown[i].iov_base, client->shown[i].iov_len);
        copy += client->shown[i].iov_len;
    }
}

static void check_shown(const struct client *client)
{
    const char *copy = client->shown_copy.ptr;

    for (int i = 0; i < client->shown_count; i++) {
        fuzz_expect(!memcmp(copy, client->shown[i].iov_base, client->shown[i].iov_len),
                    "client %zu: what was shown has changed", client->number);
        copy += client->shown[i].iov_len;
    }
}

static void peek(struct client *client)
{
    struct sse_emitter_info info = look(client);
    struct iovec iov[4];
    int count = 1 + (int)fuzz_below(&client->world->input, 4), result;

    client->shown_count = 0;
    enter(client->world, IN_READING, client, "peek");
    result = sse_emitter_peek(client->emitter, iov, count);
    leave(client->world);
    expect_end(client, &info, result);
    fuzz_expect(result <= count, "client %zu: peek shows %d of %d", client->number, result, count);
    if (result <= 0 || !is_usable(client))
        return;
    memcpy(client->shown, iov, sizeof(iov));
    client->shown_count = result;
    keep_shown(client);
}

/* Bytes that are consumed after the end are not counted. */
static void consume(struct client *client)
{
    struct sse_emitter_info info = look(client);
    size_t shown = client->shown_count ? client->shown_copy.len : 0;
    size_t size = fuzz_one_in(&client->world->input, 2) ? shown : fuzz_byte(&client->world->input);
    int result;

    check_shown(client);
    client->shown_count = 0;
    if (size && size <= shown && info.state != SSE_STATE_CLOSED)
        stream_feed(client, client->shown_copy.ptr, size);
    enter(client->world, IN_READING, client, "consume");
    result = sse_emitter_consume(client->emitter, size);
    leave(client->world);
    fuzz_expect(result == (size <= shown ? 0 : -EINVAL), "client %zu: consuming %zu of %zu gives %d",
                client->number, size, shown, result);
}

static void wait_for_nothing(struct client *client)
{
    bool may = client->output == SSE_OUTPUT_PULL || (client->output == SSE_OUTPUT_FD && !client->looped);
    struct sse_emitter_info info = look(client);
    int result;

    enter(client->world, IN_READING, client, "wait");
    result = sse_emitter_wait(client->emitter, 0);
    leave(client->world);
    if (!may)
        fuzz_expect(result == -EINVAL, "client %zu: wait gives %d", client->number, result);
    else if (client->in_callback)
        fuzz_expect(result == -EDEADLK || result == -EINTR || client->looped,
                    "client %zu: wait in its callback gives %d", client->number, result);
    else if (info.state == SSE_STATE_CLOSED)
        fuzz_expect(result == end_error(&info) || result == -EINTR, "client %zu: wait gives %d after the end",
                    client->number, result);
    else
        fuzz_expect(result >= 0 || result == -EINTR || (result == -ENOMEM && client->world->may_fail) ||
                        !is_usable(client) || look(client).state == SSE_STATE_CLOSED,
                    "client %zu: wait gives %d", client->number, result);
}

void call_reader(struct client *client)
{
    unsigned which = fuzz_below(&client->world->input, 5);
    struct iovec iov;

    if (which == 4)
        wait_for_nothing(client);
    else if (client->output != SSE_OUTPUT_PULL)
        fuzz_expect(sse_emitter_peek(client->emitter, &iov, 1) == -EINVAL,
                    "client %zu: no reader, and a peek", client->number);
    else if (which == 0)
        read_emitter(client, 1 + 20 * (size_t)fuzz_byte(&client->world->input));
    else if (which == 1 || !client->shown_count)
        peek(client);
    else
        consume(client);
}

void receive(struct client *client, size_t size)
{
    char bytes[1024];

    if (client->output != SSE_OUTPUT_FD || client->pair.client < 0)
        return;
    while (size) {
        size_t received = pair_receive(&client->pair, bytes, size < sizeof(bytes) ? size : sizeof(bytes));

        if (!received)
            return;
        stream_feed(client, bytes, received);
        size -= received;
    }
}

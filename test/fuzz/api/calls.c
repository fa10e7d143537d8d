/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <stdlib.h>

/* Calls on one emitter, and their results. */

struct sse_emitter_info look(struct client *client)
{
    struct sse_emitter_info info;

    fuzz_expect(!sse_emitter_get_info(client->emitter, &info, sizeof(info)), "client %zu: no info",
                client->number);
    fuzz_expect(info.state >= client->state && info.state <= SSE_STATE_CLOSED,
                "client %zu: the state %d after %d", client->number, (int)info.state, (int)client->state);
    fuzz_expect((info.state == SSE_STATE_CLOSED) == (info.reason != SSE_REASON_NONE) ||
                    info.state != SSE_STATE_OPEN,
                "client %zu: open, with the reason %d", client->number, (int)info.reason);
    fuzz_expect(info.age_ms >= 0, "client %zu: a negative age", client->number);
    fuzz_expect(!info.queued_bytes == !info.queued_messages || info.state == SSE_STATE_CLOSED,
                "client %zu: %zu bytes in %zu messages", client->number, info.queued_bytes,
                info.queued_messages);
    client->state = info.state;
    return info;
}

int end_error(const struct sse_emitter_info *info)
{
    static const int used[] = {-EINVAL,  -EINTR,  -EAGAIN, -EALREADY, -EPERM,     -EDEADLK, -EMSGSIZE,
                               -ENOBUFS, -ENOMEM, -EILSEQ, -ERANGE,   -EOVERFLOW, SSE_ENDED};

    if (info->state == SSE_STATE_OPEN)
        return 0;
    if (info->state == SSE_STATE_DRAINING || !info->error)
        return SSE_ENDED;
    for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
        if (info->error == used[i])
            return -EIO;
    return info->error;
}

/* Peeked bytes may not be read any more. */
static void forget_shown(struct client *client)
{
    client->shown_count = 0;
}

void close_emitter(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    forget_shown(client);
    client->references--;
    client->owned = false;
    if (!client->references)
        client->emitter = NULL;
    enter(client->world, IN_READING, client, "close");
    sse_emitter_close(emitter);
    leave(client->world);
    /* Without other references, a draining emitter is written by its loop until the end. */
    client->closed = client->output != SSE_OUTPUT_FD || client->keeps || !client->looped;
}

void release_reference(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    forget_shown(client);
    client->references--;
    if (!client->references) {
        client->owned = false;
        client->emitter = NULL;
    }
    enter(client->world, IN_READING, client, "unref");
    sse_emitter_unref(emitter);
    leave(client->world);
}

void flush(struct client *client)
{
    struct sse_emitter_info info = look(client);
    int expected = end_error(&info), result;

    enter(client->world, IN_READING, client, "flush");
    result = sse_emitter_flush(client->emitter);
    leave(client->world);
    fuzz_expect(info.state != SSE_STATE_CLOSED || result == expected, "client %zu: flush gives %d, not %d",
                client->number, result, expected);
    fuzz_expect(result <= 1, "client %zu: flush gives %d", client->number, result);
}

/* From the end on, every call may return the end. */
static void expect_sent(struct client *client, const struct sse_emitter_info *before, int wrong, int result)
{
    static const int errors[] = {-EMSGSIZE, -ENOBUFS, 0};
    int end = end_error(before);

    if (wrong)
        fuzz_expect(result == wrong || (end && result == end), "client %zu: a send gives %d, not %d",
                    client->number, result, wrong);
    else if (end)
        fuzz_expect(result == end || result == -EMSGSIZE || (result == -ENOMEM && client->world->may_fail),
                    "client %zu: a send gives %d after the end with %d", client->number, result, end);
    else if (is_usable(client) && result && look(client).state != SSE_STATE_OPEN)
        fuzz_expect(result < 0, "client %zu: a send gives %d", client->number, result);
    else if (is_usable(client))
        expect_result(client->world, "a send", result, errors);
}

static void send_event(struct client *client)
{
    struct sse_emitter_info info = look(client);
    struct sse_event event;
    int wrong = draw_event(client->world, &event, 's', client->number, 0), result;

    enter(client->world, IN_CALL, client, "send");
    result = sse_emitter_send(client->emitter, &event);
    leave(client->world);
    expect_sent(client, &info, wrong, result);
}

static void send_message(struct client *client)
{
    struct world *world = client->world;
    struct sse_message *message = world->messages[fuzz_below(&world->input, MESSAGES_MAX)];
    struct sse_emitter_info info = look(client);
    int result;

    enter(world, IN_CALL, client, "send_message");
    result = sse_emitter_send_message(client->emitter, message);
    leave(world);
    expect_sent(client, &info, message ? 0 : -EINVAL, result);
}

static void complete(struct client *client)
{
    int expected = look(client).state == SSE_STATE_OPEN ? 0 : -EALREADY, result;

    enter(client->world, IN_CALL, client, "complete");
    result = sse_emitter_complete(client->emitter);
    leave(client->world);
    fuzz_expect(result == expected, "client %zu: complete gives %d, not %d", client->number, result,
                expected);
    fuzz_expect(!is_usable(client) || look(client).state != SSE_STATE_OPEN, "client %zu: completed, and open",
                client->number);
}

static void abort_stream(struct client *client)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -EINTR, -4095, SSE_ENDED, -EIO, 0, 1, -4096};
    int error = errors[fuzz_below(&client->world->input, 9)], result;
    int expected = look(client).state == SSE_STATE_CLOSED ? -EALREADY : 0;

    if (error >= 0 || error < -4095)
        expected = -EINVAL;
    enter(client->world, IN_CALL, client, "abort");
    result = sse_emitter_abort(client->emitter, error);
    leave(client->world);
    fuzz_expect(result == expected, "client %zu: abort with %d gives %d, not %d", client->number, error,
                result, expected);
    fuzz_expect(result || !is_usable(client) || look(client).state == SSE_STATE_CLOSED,
                "client %zu: aborted, and not closed", client->number);
}

static void start(struct client *client)
{
    struct sse_emitter_info info = look(client);
    bool filled = fuzz_one_in(&client->world->input, 2);
    int expected = end_error(&info), result;

    if (!expected && !info.paused)
        expected = -EALREADY;
    enter(client->world, IN_CALL, client, "start");
    result = sse_emitter_start(client->emitter, filled);
    leave(client->world);
    fuzz_expect(result == expected, "client %zu: start gives %d, not %d", client->number, result, expected);
}

static void ping(struct client *client)
{
    struct sse_emitter_info info = look(client);
    int expected = end_error(&info), result;

    enter(client->world, IN_CALL, client, "ping");
    result = sse_emitter_ping(client->emitter);
    leave(client->world);
    fuzz_expect(result == expected, "client %zu: ping gives %d, not %d", client->number, result, expected);
}

static void take_reference(struct client *client)
{
    fuzz_expect(sse_emitter_ref(client->emitter) == client->emitter, "client %zu: another emitter",
                client->number);
    client->references++;
}

static void interrupt(struct client *client)
{
    int expected = client->output == SSE_OUTPUT_PULL ? 0 : -EINVAL;

    fuzz_expect(sse_emitter_interrupt(client->emitter) == expected, "client %zu: interrupt does not give %d",
                client->number, expected);
}

/* The actions of the client, and the write callback. */
static void change_client(struct client *client)
{
    struct fuzz_input *input = &client->world->input;

    client->mood = (enum mood)fuzz_below(input, 4);
    if (fuzz_one_in(input, 3))
        receive(client, 1 + 50 * (size_t)fuzz_byte(input));
    if ((client->output == SSE_OUTPUT_FD || client->watches) && fuzz_one_in(input, 4)) {
        client->gone = true;
        pair_leave(&client->pair);
    }
}

void call_emitter(struct client *client)
{
    static void (*const calls[])(struct client * client) = {
        send_event, send_event,  send_message, complete,       abort_stream,  start,         ping,
        flush,      call_reader, call_reader,  take_reference, change_client, change_client, interrupt,
    };
    unsigned which = fuzz_below(&client->world->input, 18);

    if (which < sizeof(calls) / sizeof(calls[0]))
        calls[which](client);
    else if (client->owned && which < 16)
        close_emitter(client);
    else if (!client->owned || client->references > 1 || client->looped || which == 17)
        release_reference(client);
}

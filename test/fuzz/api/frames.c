/* SPDX-License-Identifier: MIT */
#include "api.h"
#include "faulty_calls.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Which calls run which callbacks, and the actions of callbacks. */

static void arm(struct world *world)
{
    world->may_fail = world->fail_at || world->faulty_call >= 0;
    fake_platform_fail_at(&world->fake, world->fail_at, world->fail_for_good);
    if (world->faulty_call >= 0)
        faulty_calls_fail((enum faulty_call)world->faulty_call, (int)world->faulty_first,
                          (int)world->faulty_times, world->faulty_error);
    world->fail_at = 0;
    world->faulty_call = -1;
}

static void disarm(struct world *world)
{
    fake_platform_fail_at(&world->fake, 0, false);
    faulty_calls_reset();
}

void narrate(const struct world *world, const char *format, ...)
{
    va_list arguments;

    if (!getenv("SSE_FUZZ_TRACE"))
        return;
    va_start(arguments, format);
    fprintf(stderr, "%*s", (int)(2 * world->depth), "");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

/* The client, or where the loop or the registry is. */
static void narrate_call(const struct world *world, const void *subject, const char *call)
{
    for (size_t i = 0; i < world->client_count; i++)
        if (world->clients[i] == subject) {
            narrate(world, "client %zu: %s", i, call);
            return;
        }
    for (size_t i = 0; i < LOOPS_MAX; i++)
        if (&world->loops[i] == subject)
            narrate(world, "loop %zu: %s", i, call);
    for (size_t i = 0; i < REGISTRIES_MAX; i++)
        if (&world->registries[i] == subject)
            narrate(world, "registry %zu: %s", i, call);
}

void enter(struct world *world, enum frame_kind kind, const void *subject, const char *call)
{
    fuzz_expect(world->depth < FRAMES_MAX, "calls inside each other without end");
    if (call)
        narrate_call(world, subject, call);
    if (!world->depth)
        arm(world);
    world->frames[world->depth++] = (struct frame){.kind = kind, .subject = subject};
}

void leave(struct world *world)
{
    if (!--world->depth)
        disarm(world);
}

void expect_result(struct world *world, const char *call, long result, const int *errors)
{
    if (!result || (result == -ENOMEM && world->may_fail))
        return;
    while (*errors && *errors != result)
        errors++;
    fuzz_expect(*errors, "%s gives %ld (%s)", call, result, strerror((int)-result));
}

bool is_usable(const struct client *client)
{
    return client->references > 0;
}

static const struct frame *innermost(const struct world *world)
{
    static const struct frame none = {.kind = IN_OTHER};

    return world->depth ? &world->frames[world->depth - 1] : &none;
}

/* Inside a turn of its loop, or the loop's end. Without a loop, inside one of its own calls. */
static bool may_run(const struct client *client, bool releases)
{
    const struct frame *frame = innermost(client->world);
    bool own_call = (frame->kind == IN_CALL || frame->kind == IN_READING) && frame->subject == client;

    if (client->loop && (frame->kind == IN_TURN || frame->kind == IN_FREE) && frame->subject == client->loop)
        return true;
    /* The release is still missing, and its loop is freed or being freed. */
    if (client->looped)
        return releases && (!client->loop || client->loop->freeing) && (own_call || frame->kind == IN_WALK);
    /* A walk has a reference, which may be the last one. Without a loop, releasing it closes the emitter. */
    if (frame->kind == IN_WALK)
        return !client->references;
    return own_call && (releases || client->output != SSE_OUTPUT_PULL || frame->kind == IN_READING);
}

/* A callback usually does nothing, and never at the end. */
static void go_on(struct world *world, struct client *client)
{
    if (world->ending || world->callbacks > DEPTH_MAX)
        return;
    for (unsigned steps = fuzz_below(&world->input, 8) / 5; steps; steps--) {
        client->disturbed |= client->in_output;
        step(world, client);
    }
}

void callback_begin(struct world *world, struct client *client)
{
    disarm(world);
    world->callbacks++;
    enter(world, IN_CALLBACK, client, NULL);
    go_on(world, client);
}

void callback_end(struct world *world)
{
    leave(world);
    world->callbacks--;
}

static void begin(struct client *client, const char *what)
{
    struct world *world = client->world;

    narrate(world, "client %zu: %s", client->number, what);
    fuzz_expect(client->made, "client %zu: %s, and it was refused", client->number, what);
    fuzz_expect(!client->releases, "client %zu: %s after on_release", client->number, what);
    fuzz_expect(may_run(client, !strcmp(what, "on_release")), "client %zu: %s inside frame %d",
                client->number, what, (int)innermost(world)->kind);
    fuzz_expect(!client->in_callback, "client %zu: %s inside another callback of its own", client->number,
                what);
    client->in_callback = true;
}

/* Continues the program, and then the callback returns. */
static void end(struct client *client)
{
    callback_begin(client->world, client);
    callback_end(client->world);
    client->in_callback = false;
}

static void begin_output(struct client *client, const char *what)
{
    begin(client, what);
    fuzz_expect(!client->completions, "client %zu: %s after on_completion", client->number, what);
    fuzz_expect(!client->closed, "client %zu: %s after it was closed", client->number, what);
    client->in_output = true;
}

static void end_output(struct client *client)
{
    client->in_output = false;
    end(client);
}

static size_t size_of(const struct iovec *iov, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

static ssize_t take(struct client *client, const struct iovec *iov, size_t size)
{
    for (size_t left = size; left; iov++) {
        size_t piece = iov->iov_len < left ? iov->iov_len : left;

        stream_feed(client, iov->iov_base, piece);
        left -= piece;
    }
    return (ssize_t)size;
}

static ssize_t answer(struct client *client, const struct iovec *iov, size_t size)
{
    static const ssize_t errors[] = {-EPIPE, -ECONNRESET, -EINTR, -EIO, -EINVAL, SSE_ENDED, -5000, 0};
    struct fuzz_input *input = &client->world->input;

    if (client->mood == FAST || client->world->ending)
        return take(client, iov, size);
    if (client->mood == STUCK)
        return -EAGAIN;
    if (client->mood == BROKEN) {
        unsigned which = fuzz_below(input, 9);

        return which == 8 ? (ssize_t)size + 1 : errors[which];
    }
    return take(client, iov, 1 + fuzz_byte(input) % size);
}

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    struct client *client = user;
    ssize_t result;
    size_t size = size_of(iov, count);

    begin_output(client, "write");
    fuzz_expect(size > 0 && count > 0 && count <= 16, "client %zu: a write of %zu bytes in %d pieces",
                client->number, size, count);
    callback_begin(client->world, client);
    result = answer(client, iov, size);
    callback_end(client->world);
    client->in_output = false;
    client->in_callback = false;
    return result;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct client *client = user;

    begin_output(client, "on_ready");
    fuzz_expect(what == (client->output == SSE_OUTPUT_PULL ? SSE_READABLE : SSE_BLOCKED),
                "client %zu: on_ready with %u", client->number, what);
    fuzz_expect(sse_emitter_user(emitter) == client, "client %zu: another user", client->number);
    end_output(client);
}

static void begin_end(struct client *client, const struct sse_emitter *emitter, const char *what)
{
    begin(client, what);
    fuzz_expect(!client->completions, "client %zu: %s after on_completion", client->number, what);
    fuzz_expect(!client->emitter || emitter == client->emitter, "client %zu: %s of another emitter",
                client->number, what);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    struct client *client = user;

    begin_end(client, emitter, "on_timeout");
    fuzz_expect(!client->timeouts++ && !client->errors, "client %zu: on_timeout too often", client->number);
    client->completion.reason = reason;
    end(client);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct client *client = user;

    begin_end(client, emitter, "on_error");
    fuzz_expect(!client->errors++ && !client->timeouts, "client %zu: on_error too often", client->number);
    client->completion.error = error;
    end(client);
}

static bool is_timeout(enum sse_reason reason)
{
    return reason == SSE_REASON_LIFETIME || reason == SSE_REASON_STALLED ||
           reason == SSE_REASON_DRAIN_TIMEOUT || reason == SSE_REASON_NOT_STARTED;
}

static bool is_error(enum sse_reason reason)
{
    return reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR ||
           reason == SSE_REASON_OVERFLOW || reason == SSE_REASON_ABORTED;
}

/* Reason and error must match, and the callback before has reported the same. */
static void check_record(const struct client *client, const struct sse_completion *completion)
{
    enum sse_reason reason = completion->reason;
    int error = completion->error;
    bool graceful = reason == SSE_REASON_COMPLETED || reason == SSE_REASON_LIFETIME ||
                    reason == SSE_REASON_EVICTED;
    bool timeout = is_timeout(reason), failed = is_error(reason);

    fuzz_expect(reason > SSE_REASON_NONE && reason <= SSE_REASON_EVICTED, "client %zu: the reason %d",
                client->number, (int)reason);
    fuzz_expect(graceful ? !error : error < 0 || reason == SSE_REASON_SHUTDOWN,
                "client %zu: the reason %d with the error %d", client->number, (int)reason, error);
    if (!client->has_all_callbacks)
        return;
    fuzz_expect(client->timeouts == timeout && client->errors == failed,
                "client %zu: %u on_timeout and %u on_error before the reason %d", client->number,
                client->timeouts, client->errors, (int)reason);
    fuzz_expect(!timeout || client->completion.reason == reason,
                "client %zu: on_timeout told %d, and it is %d", client->number,
                (int)client->completion.reason, (int)reason);
    fuzz_expect(!failed || client->completion.error == error, "client %zu: on_error told %d, and it is %d",
                client->number, client->completion.error, error);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    begin_end(client, emitter, "on_completion");
    check_record(client, completion);
    client->completions++;
    client->completion = *completion;
    client->last_event_id =
        fuzz_copy(&client->world->texts, completion->last_event_id.ptr, completion->last_event_id.len);
    end(client);
}

static void on_release(void *user)
{
    struct client *client = user;

    begin(client, "on_release");
    fuzz_expect(client->completions == 1, "client %zu: released, and not completed", client->number);
    fuzz_expect(!client->references, "client %zu: released, and the program has it", client->number);
    client->releases++;
    client->emitter = NULL;
    end(client);
}

void on_wake(struct sse_loop *inner, void *user)
{
    struct loop *loop = user;

    fuzz_expect(inner == loop->loop, "on_wake of another loop");
    fuzz_expect(!loop->inside, "on_wake inside its own turn");
    fuzz_expect(!loop->woken && !loop->again, "on_wake, and a turn is due already");
    loop->woken = true;
}

/* on_completion and on_release are always set, because they are counted. */
void callbacks_install(struct sse_emitter_options *options, struct client *client, unsigned mask)
{
    client->has_all_callbacks = !(mask & 3);
    if (options->output == SSE_OUTPUT_CALLBACK)
        options->write = on_write;
    if (options->loop && !(mask & 4))
        options->on_ready = on_ready;
    if (!(mask & 1))
        options->on_timeout = on_timeout;
    if (!(mask & 2))
        options->on_error = on_error;
    options->on_completion = on_completion;
    options->on_release = on_release;
    options->user = client;
}

/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* The functions that the library calls: outputs that accept any amount, and callbacks that check when and where
 * they may run, and call the library. */

/* An endless write would delay the other emitters of its loop. */
#define WRITES_MAX 100

/* With a loop only inside its turn, one after the other. Without one only inside a call on this emitter. */
static void enter_thread(struct connection *connection, const char *what)
{
    struct world *world = connection->world;

    if (connection->loop && !connection->calls) {
        expect(world, connection->loop->inside, "connection %zu: %s outside a turn of its loop",
               connection->number, what);
        expect(world, connection->was_there || connection->loop->freeing,
               "connection %zu: %s in the turn that made it", connection->number, what);
        expect(world, !connection->loop->calling, "connection %zu: %s inside another callback of its loop",
               connection->number, what);
        connection->loop->calling = true;
    } else {
        expect(world, connection->calls, "connection %zu: %s outside a call of its owner", connection->number,
               what);
    }
    expect(world, !connection->in_callback, "connection %zu: %s inside another callback of its own",
           connection->number, what);
    connection->in_callback = true;
}

static void enter(struct connection *connection, const char *what)
{
    struct world *world = connection->world;

    world->depth++;
    world->calls++;
    fail_suspend(world);
    narrate(world, "connection %zu: %s", connection->number, what);
    expect(world, !connection->releases, "connection %zu: %s after its release", connection->number, what);
    enter_thread(connection, what);
    finish_read(connection);
    sync_connection(connection);
}

static void leave(struct connection *connection)
{
    connection->in_callback = false;
    if (connection->loop && !connection->calls)
        connection->loop->calling = false;
    connection->world->depth--;
}

static void enter_output(struct connection *connection, const char *what)
{
    enter(connection, what);
    expect(connection->world, !connection->cut_off, "connection %zu: %s after it was closed",
           connection->number, what);
    connection->in_output = true;
}

static void leave_output(struct connection *connection)
{
    connection->in_output = false;
    connection->cut_off = !connection->owned;
    leave(connection);
}

static ssize_t take(struct connection *connection, const struct iovec *iov, int count, size_t size)
{
    size_t left = size;

    for (int i = 0; i < count && left; i++) {
        size_t piece = iov[i].iov_len < left ? iov[i].iov_len : left;

        connection_took(connection, iov[i].iov_base, piece);
        left -= piece;
    }
    return (ssize_t)size;
}

static ssize_t fail(struct connection *connection, ssize_t result, int error)
{
    connection->causes |= CAUSE_OUTPUT;
    connection->output_error = error;
    return result;
}

static ssize_t draw_error(struct connection *connection, size_t size)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -ETIMEDOUT, -EIO, -ENOTCONN, SSE_ENDED};
    struct world *world = connection->world;
    int error = errors[chance_below(world, sizeof(errors) / sizeof(errors[0]))];

    if (chance_percent(world, 5))
        return fail(connection, (ssize_t)size + 1, -EIO);
    if (chance_percent(world, 5))
        return fail(connection, -5000, -EIO);
    return fail(connection, error, error);
}

static ssize_t answer(struct connection *connection, const struct iovec *iov, int count, size_t size)
{
    struct world *world = connection->world;

    if (chance_percent(world, connection->error_percent))
        return draw_error(connection, size);
    if (chance_percent(world, 2))
        return chance_percent(world, 50) ? 0 : -EAGAIN;
    if (connection->mood == MOOD_FAST)
        return take(connection, iov, count, size);
    if (connection->mood == MOOD_STUCK || chance_percent(world, 40))
        return -EAGAIN;
    return take(connection, iov, count, 1 + chance_below(world, size < 120 ? size : 120));
}

static ssize_t write_callback(void *user, const struct iovec *iov, int count)
{
    struct connection *connection = user;
    struct world *world = connection->world;
    ssize_t result;
    size_t size;

    enter_output(connection, "write");
    expect(world, connection->state != SSE_STATE_CLOSED, "connection %zu: a write after its end",
           connection->number);
    connection->writes++;
    expect(world, count <= 16 && connection->writes <= WRITES_MAX, "connection %zu: %d pieces, write %u",
           connection->number, count, connection->writes);
    size = queue_shows(connection, iov, count);
    connection->in_write = true;
    connection->full = false;
    nested_step(world, connection);
    result = answer(connection, iov, count, size);
    narrate(world, "takes %zd of %zu", result, size);
    connection->front.pinned = 0;
    connection->refused = result == 0 || result == -EAGAIN;
    connection->full = connection->refused && !connection->has_room;
    connection->has_room &= result > 0;
    connection->in_write = false;
    leave_output(connection);
    return result;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct connection *connection = user;
    struct world *world = connection->world;
    bool pull = connection_is_pull(connection);

    enter_output(connection, "on_ready");
    expect(world, emitter == connection->emitter && what == (pull ? SSE_READABLE : SSE_BLOCKED),
           "connection %zu: on_ready with %u", connection->number, what);
    expect(world, !connection->completions, "connection %zu: on_ready after on_completion",
           connection->number);
    if (connection_is_socket(connection))
        connection->refused = connection_queued(connection);
    expect(world, pull ? connection->armed : connection->refused && !connection->told_blocked,
           "connection %zu: on_ready for no reason", connection->number);
    connection->armed = connection->waiting = false;
    connection->told = true;
    connection->told_blocked = !pull;
    connection->full = true;
    nested_step(world, connection);
    leave_output(connection);
}

/* The first callback at its end. */
static void enter_end(struct connection *connection, struct sse_emitter *emitter, const char *what)
{
    struct world *world = connection->world;

    enter(connection, what);
    expect(world,
           emitter == connection->emitter && connection->state == SSE_STATE_CLOSED &&
               !connection->completions,
           "connection %zu: %s too late or too early", connection->number, what);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    struct connection *connection = user;

    enter_end(connection, emitter, "on_timeout");
    expect(connection->world, ++connection->timeouts == 1 && !connection->errors,
           "connection %zu: on_timeout twice, or beside on_error", connection->number);
    connection->told_reason = reason;
    nested_step(connection->world, connection);
    leave(connection);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct connection *connection = user;

    enter_end(connection, emitter, "on_error");
    expect(connection->world, ++connection->errors == 1 && !connection->timeouts,
           "connection %zu: on_error twice, or beside on_timeout", connection->number);
    connection->told_error = error;
    nested_step(connection->world, connection);
    leave(connection);
}

static void check_told(struct connection *connection)
{
    struct world *world = connection->world;
    enum sse_reason reason = connection->reason;
    bool timeout = reason == SSE_REASON_LIFETIME || reason == SSE_REASON_STALLED ||
                   reason == SSE_REASON_DRAIN_TIMEOUT || reason == SSE_REASON_NOT_STARTED;
    bool error = reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR ||
                 reason == SSE_REASON_OVERFLOW || reason == SSE_REASON_ABORTED;

    expect(world, connection->timeouts == timeout && connection->errors == error,
           "connection %zu: %u on_timeout, %u on_error before the end with reason %d", connection->number,
           connection->timeouts, connection->errors, (int)reason);
    if (timeout)
        expect_equal(world, reason, connection->told_reason, "reason of on_timeout");
    if (error)
        expect_equal(world, (uint64_t)connection->error, (uint64_t)connection->told_error,
                     "error of on_error");
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct connection *connection = user;
    struct world *world = connection->world;

    enter_end(connection, emitter, "on_completion");
    check_told(connection);
    connection->completions++;
    connection_settle(connection, completion);
    nested_step(world, connection);
    if (connection->owned && chance_percent(world, 40)) {
        close_connection(connection);
    } else if (!world->quiet && chance_percent(world, 10)) {
        narrate(world, "and is kept by a reference");
        expect(world, sse_emitter_ref(emitter) == emitter, "connection %zu: another emitter",
               connection->number);
        connection->refs++;
    }
    leave(connection);
}

static void on_release(void *user)
{
    struct connection *connection = user;
    struct world *world = connection->world;

    world->depth++;
    world->calls++;
    fail_suspend(world);
    narrate(world, "connection %zu: on_release", connection->number);
    enter_thread(connection, "on_release");
    expect(world,
           ++connection->releases == 1 && connection->completions == 1 && !connection->owned &&
               !connection->refs,
           "connection %zu: released twice, before its end, or while the server has it", connection->number);
    connection->emitter = NULL;
    if (connection_is_socket(connection))
        socket_finish(connection);
    nested_step(world, connection);
    leave(connection);
}

void on_wake(struct sse_loop *wakened, void *user)
{
    struct loop *loop = user;
    struct world *world = loop->world;

    narrate(world, "loop %zu is woken", loop->number);
    expect(world, wakened == loop->loop, "on_wake of another loop");
    expect(world, !loop->inside, "loop %zu: woken inside its own turn", loop->number);
    expect(world, !loop->woken, "loop %zu: woken twice", loop->number);
    expect(world, !loop->again, "loop %zu: woken, and its turn was due at once", loop->number);
    loop->woken = true;
}

void callbacks_install(struct sse_emitter_options *options, struct connection *connection)
{
    if (options->output == SSE_OUTPUT_CALLBACK)
        options->write = write_callback;
    if (options->loop)
        options->on_ready = on_ready;
    options->on_timeout = on_timeout;
    options->on_error = on_error;
    options->on_completion = on_completion;
    options->on_release = on_release;
    options->user = connection;
}

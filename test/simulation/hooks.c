/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>

/* What the library calls: sinks that take as much as they like, and hooks that check when they may
 * be called, and call the library back. */

static void enter(struct connection *connection, const char *what)
{
    struct world *world = connection->world;

    world->depth++;
    world->calls++;
    fail_suspend(world);
    requests_resolve(world);
    narrate(world, "connection %zu: %s", connection->number, what);
    expect(world, !connection->releases, "connection %zu: %s after its release", connection->number, what);
}

static void enter_sink(struct connection *connection, const char *what)
{
    struct world *world = connection->world;

    enter(connection, what);
    expect(world, !connection->inside, "connection %zu: %s while inside its sink", connection->number, what);
    expect(world, !connection->finished, "connection %zu: %s after its end", connection->number, what);
    expect(world, !connection->cut_off, "connection %zu: %s after it was detached", connection->number, what);
    connection->inside = true;
}

static void leave_sink(struct connection *connection)
{
    connection->inside = false;
    connection->cut_off = connection->detached;
    connection->world->depth--;
}

static size_t offered(const struct iovec *iov, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

static ssize_t take(struct connection *connection, const struct iovec *iov, int count, size_t size)
{
    size_t left = size;

    for (int i = 0; i < count && left; i++) {
        size_t piece = iov[i].iov_len < left ? iov[i].iov_len : left;

        connection_received(connection, iov[i].iov_base, piece);
        left -= piece;
    }
    if (connection->member)
        connection->world->stats.bytes += size;
    return (ssize_t)size;
}

static ssize_t fail(struct connection *connection, int error)
{
    connection->causes |= CAUSE_SINK;
    connection->sink_error = error;
    return error;
}

static ssize_t answer(struct connection *connection, const struct iovec *iov, int count)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -EIO, -ENOTCONN};
    struct world *world = connection->world;
    size_t size = offered(iov, count);

    expect(world, count > 0 && size, "connection %zu: nothing is offered", connection->number);
    if (chance_percent(world, connection->error_percent))
        return fail(connection, errors[chance_below(world, 4)]);
    if (chance_percent(world, 2))
        return -EINTR;
    if (chance_percent(world, 2))
        return chance_percent(world, 50) ? 0 : -EAGAIN;
    if (connection->mood == MOOD_FAST)
        return take(connection, iov, count, size);
    if (connection->mood == MOOD_STUCK || chance_percent(world, 40))
        return -EAGAIN;
    return take(connection, iov, count, 1 + chance_below(world, size < 120 ? size : 120));
}

static ssize_t sink_write(void *user, const struct iovec *iov, int count)
{
    struct connection *connection = user;
    ssize_t result;

    enter_sink(connection, "write");
    nested_step(connection->world, connection);
    result = answer(connection, iov, count);
    narrate(connection->world, "takes %zd of %zu", result, offered(iov, count));
    leave_sink(connection);
    return result;
}

/* It is to be among the ready, if there is such a list. */
static void note_ready(struct connection *connection)
{
    if (connection->member && connection->world->scenario.wakes)
        connection->listed = true;
}

static void on_ready(struct sse_emitter *emitter, void *user)
{
    struct connection *connection = user;

    (void)emitter;
    enter_sink(connection, "on_ready");
    expect(connection->world, connection->peeked, "connection %zu: on_ready, and nobody waits",
           connection->number);
    connection->peeked = false;
    note_ready(connection);
    nested_step(connection->world, connection);
    leave_sink(connection);
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    struct connection *connection = user;

    (void)emitter;
    enter_sink(connection, "on_blocked");
    connection->told_blocked = true;
    note_ready(connection);
    nested_step(connection->world, connection);
    leave_sink(connection);
}

/* What was queued is known if a timer alone did it. */
static void count_for_report(struct connection *connection, const struct sse_emitter_info *info)
{
    struct world *world = connection->world;

    if (end_error(info) == -ESHUTDOWN) {
        world->report.completed++;
        return;
    }
    world->report.cut++;
    world->left += connection->queued;
    if (info->reason == SSE_REASON_PEER_GONE || info->reason == SSE_REASON_IO_ERROR || !world->ticking ||
        world->depth > 1 || world->ticking_nested != world->nested)
        world->left_uncertain = true;
}

static void leave_registry(struct connection *connection)
{
    struct world *world = connection->world;
    struct sse_emitter_info info;

    (void)connection_info(connection, &info);
    world->stats.closed[info.reason]++;
    world->stats.written += info.events - connection->before_events;
    world->stats.dropped += info.dropped - connection->before_dropped;
    if (world->shut_down)
        count_for_report(connection, &info);
    connection_left(connection);
}

/* The first hook at its end: the registry has forgotten it. */
static void enter_end(struct connection *connection, struct sse_emitter *emitter, const char *what)
{
    struct world *world = connection->world;

    enter(connection, what);
    expect(world, !connection->inside && !connection->completions, "connection %zu: %s too late or too early",
           connection->number, what);
    if (connection->finished)
        return;
    connection->finished = true;
    expect(world, !sse_registry_has(world->registry, emitter), "connection %zu: a member after its end",
           connection->number);
    note_ready(connection);
    if (connection->member)
        leave_registry(connection);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    struct connection *connection = user;

    enter_end(connection, emitter, "on_timeout");
    expect(connection->world, ++connection->timeouts == 1, "connection %zu: on_timeout twice",
           connection->number);
    connection->completion.reason = reason;
    nested_step(connection->world, connection);
    connection->world->depth--;
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct connection *connection = user;

    enter_end(connection, emitter, "on_error");
    expect(connection->world, ++connection->errors == 1 && !connection->timeouts,
           "connection %zu: on_error twice, or beside on_timeout", connection->number);
    connection->completion.error = error;
    nested_step(connection->world, connection);
    connection->world->depth--;
}

static void check_hooks(struct connection *connection, const struct sse_completion *completion)
{
    struct world *world = connection->world;
    bool timeout = completion->reason >= SSE_REASON_LIFETIME && completion->reason <= SSE_REASON_DRAIN;
    bool error = completion->reason >= SSE_REASON_PEER_GONE && completion->reason <= SSE_REASON_APPLICATION;

    expect(world, connection->timeouts == timeout && connection->errors == error,
           "connection %zu: %u on_timeout, %u on_error before the end with reason %d", connection->number,
           connection->timeouts, connection->errors, (int)completion->reason);
    if (timeout)
        expect_equal(world, connection->completion.reason, completion->reason, "reason of on_timeout");
    if (error)
        expect_equal(world, (uint64_t)connection->completion.error, (uint64_t)completion->error,
                     "error of on_error");
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct connection *connection = user;
    struct world *world = connection->world;

    enter_end(connection, emitter, "on_completion");
    narrate(world, "reason %d, error %d, %llu events, %llu dropped", (int)completion->reason,
            completion->error, (unsigned long long)completion->events,
            (unsigned long long)completion->dropped);
    check_hooks(connection, completion);
    connection->completions++;
    connection->completion = *completion;
    if (completion->last_event_id.ptr)
        connection->last_id =
            arena_format(world, "%.*s", (int)completion->last_event_id.len, completion->last_event_id.ptr);
    nested_step(world, connection);
    if (connection->held && chance_percent(world, 40)) {
        give_back(connection);
    } else if (!connection->held && !world->quiet && chance_percent(world, 20)) {
        narrate(world, "and is kept by a new reference");
        sse_emitter_ref(emitter);
        connection->held = true;
    }
    world->depth--;
}

static void on_release(void *user)
{
    struct connection *connection = user;
    struct world *world = connection->world;

    enter(connection, "on_release");
    expect(world, ++connection->releases == 1 && connection->completions == 1 && !connection->held,
           "connection %zu: released twice, before its end, or while the host holds it", connection->number);
    connection->emitter = NULL;
    world->depth--;
}

void hooks_install(struct sse_emitter_options *options, struct connection *connection)
{
    if (options->drain == SSE_DRAIN_CALLBACK)
        options->write = sink_write;
    options->on_ready = on_ready;
    options->on_blocked = on_blocked;
    options->on_timeout = on_timeout;
    options->on_error = on_error;
    options->on_completion = on_completion;
    options->on_release = on_release;
    options->user = connection;
}

void on_wake(struct sse_registry *registry, void *user)
{
    struct world *world = user;

    expect(world, registry == world->registry, "on_wake of another registry");
    world->woken = true;
}

/* The largest backlog goes first; what a publish under way has not tried to write does not count. */
static void check_evicted(struct connection *evicted)
{
    struct world *world = evicted->world;
    struct sse_emitter_info largest, info;

    /* That publish has written. */
    if (world->depth == world->publishing_depth)
        world->publishing = false;
    (void)connection_info(evicted, &largest);
    /* One that a full queue has ended already weighs until it is seen to. */
    evicted->evicted |= largest.state != SSE_STATE_CLOSED;
    if (world->depth || !evicted->evicted || connection_waits(evicted))
        return;
    for (size_t i = 0; i < world->connection_count; i++) {
        const struct connection *connection = world->connections[i];

        /* What is held is charged when it is released. */
        if (connection->member && !connection->finished && !connection_waits(connection) &&
            connection_info(connection, &info) && info.state != SSE_STATE_CLOSED)
            expect(world, info.queued_bytes <= largest.queued_bytes,
                   "connection %zu: evicted, but connection %zu has more", evicted->number,
                   connection->number);
    }
}

void on_trace(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step, void *user)
{
    struct connection *connection = sse_emitter_user(emitter);
    struct request *request = connection->request;
    struct sse_emitter_info info;

    (void)user;
    expect(connection->world, registry == connection->world->registry, "a trace of another registry");
    if (step == SSE_TRACE_EVICTED)
        check_evicted(connection);
    if (step == SSE_TRACE_ADDED && connection_info(connection, &info)) {
        connection->before_events = info.events;
        connection->before_dropped = info.dropped;
    }
    if (!request)
        return;
    if (!request->traced && (step == SSE_TRACE_ADDED || step == SSE_TRACE_SUBSCRIBED))
        request_joined(connection, request);
    request->gap |= step == SSE_TRACE_GAP;
}

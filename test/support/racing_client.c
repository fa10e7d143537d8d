/* SPDX-License-Identifier: MIT */
#include "racing_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool get(const atomic_bool *flag)
{
    return atomic_load_explicit(flag, memory_order_relaxed);
}

/* Helgrind and DRD take a store for a plain one, but not an exchange. */
static void set(atomic_bool *flag, bool value)
{
    (void)atomic_exchange_explicit(flag, value, memory_order_relaxed);
}

static unsigned count(const atomic_uint *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The old value. */
static unsigned add(atomic_uint *counter)
{
    return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void visit(struct racing_client *client, enum racing_place place)
{
    if (client->plan.visit)
        client->plan.visit(client, place);
}

static void enter_sink(struct racing_client *client)
{
    require(!atomic_exchange_explicit(&client->inside, true, memory_order_relaxed));
    require(!get(&client->gone));
    require(count(&client->completions) == 0);
    client->entries++;
}

static void leave_sink(struct racing_client *client)
{
    client->entries++;
    set(&client->inside, false);
}

void racing_client_gone(struct racing_client *client)
{
    require(!get(&client->inside));
    require(client->entries % 2 == 0);
    set(&client->gone, true);
    if (client->fd < 0)
        return;
    pthread_mutex_lock(&client->replacing);
    if (!client->replaced)
        require(dup2(client->plan.trap, client->fd) == client->fd);
    client->replaced = true;
    pthread_mutex_unlock(&client->replacing);
}

/* What the sink does now: the bytes it takes, or an error. */
static ssize_t choose_result(struct racing_client *client, size_t offered)
{
    static const ssize_t failures[] = {-EPIPE, -ECONNRESET, -EIO};
    unsigned choice = schedule_below(&client->random, 256);

    if (get(&client->generous))
        return (ssize_t)offered;
    if (choice < 32)
        return -EAGAIN;
    if (choice < 40)
        return choice % 2 ? 0 : -EINTR;
    if (choice < 100)
        return 1 + (ssize_t)schedule_below(&client->random, (unsigned)offered);
    if (choice < 103 && !client->plan.reliable)
        return failures[choice % 3];
    return (ssize_t)offered;
}

static void record(struct numbered_stream *stream, const struct iovec *iov, size_t size)
{
    while (size) {
        size_t piece = iov->iov_len < size ? iov->iov_len : size;

        numbered_stream_append(stream, iov->iov_base, piece);
        size -= piece;
        iov++;
    }
}

static ssize_t write_bytes(void *user, const struct iovec *iov, int iov_count)
{
    struct racing_client *client = user;
    size_t offered = 0;
    ssize_t result;

    enter_sink(client);
    visit(client, IN_WRITE);
    for (int i = 0; i < iov_count; i++)
        offered += iov[i].iov_len;
    require(offered > 0);
    result = choose_result(client, offered);
    schedule_pause(&client->random);
    if (result > 0)
        record(&client->stream, iov, (size_t)result);
    leave_sink(client);
    return result;
}

static void on_ready(struct sse_emitter *emitter, void *user)
{
    struct racing_client *client = user;

    require(emitter == client->emitter && client->plan.drain == SSE_DRAIN_PULL);
    enter_sink(client);
    add(&client->told);
    visit(client, IN_READY);
    schedule_pause(&client->random);
    leave_sink(client);
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    struct racing_client *client = user;

    require(emitter && client->plan.drain != SSE_DRAIN_PULL);
    enter_sink(client);
    if (get(&client->made))
        visit(client, IN_BLOCKED);
    schedule_pause(&client->random);
    leave_sink(client);
}

/* One that ends is not in its sink any more, and its hooks come one after the other. */
static void enter_end(struct racing_client *client)
{
    require(get(&client->made));
    require(!get(&client->inside));
    require(count(&client->completions) == 0 && count(&client->releases) == 0);
    client->hooks_run++;
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    struct racing_client *client = user;

    enter_end(client);
    require(emitter == client->emitter);
    require(reason == SSE_REASON_LIFETIME || reason == SSE_REASON_STALL || reason == SSE_REASON_DRAIN);
    require(add(&client->timeouts) == 0 && count(&client->errors) == 0);
    visit(client, IN_TIMEOUT);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct racing_client *client = user;

    enter_end(client);
    require(emitter == client->emitter && error < 0);
    require(add(&client->errors) == 0 && count(&client->timeouts) == 0);
    visit(client, IN_ERROR);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct racing_client *client = user;

    enter_end(client);
    require(emitter == client->emitter && completion->size == sizeof(*completion));
    require(add(&client->completions) == 0);
    client->completion = *completion;
    require(completion->last_event_id.len < sizeof(client->last_event_id));
    if (completion->last_event_id.len)
        memcpy(client->last_event_id, completion->last_event_id.ptr, completion->last_event_id.len);
    racing_client_gone(client);
    visit(client, IN_COMPLETION);
}

static void on_release(void *user)
{
    struct racing_client *client = user;

    require(count(&client->completions) == 1);
    require(!SCHEDULE_ATOMICS_ARE_SEEN || client->hooks_run > 0);
    require(add(&client->releases) == 0);
    visit(client, IN_RELEASE);
}

static void open_sockets(struct racing_client *client)
{
    const int small = 4096;
    int fds[2];

    require(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    client->fd = fds[0];
    client->peer = fds[1];
    require(setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
    require(fcntl(client->peer, F_SETFL, O_NONBLOCK) == 0);
}

static void set_timers(struct sse_emitter_options *options, struct schedule_random *random)
{
    options->lifetime_ms = 500 + (int64_t)schedule_below(random, 4000);
    options->lifetime_jitter_ms = 400;
    options->stall_ms = 200 + (int64_t)schedule_below(random, 2000);
    options->drain_ms = 100 + (int64_t)schedule_below(random, 1000);
    options->heartbeat_ms = 100 + (int64_t)schedule_below(random, 1000);
}

static struct sse_emitter_options options_of(struct racing_client *client)
{
    const struct racing_plan *plan = &client->plan;
    struct sse_emitter_options options = {
        .size = sizeof(options),
        .host = plan->host,
        .drain = plan->drain,
        .framing = plan->chunked ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW,
        .fd = client->fd,
        .write = plan->drain == SSE_DRAIN_CALLBACK ? write_bytes : NULL,
        .head = sse_str(plan->has_head ? NUMBERED_HEAD : NULL),
        .retry_ms = plan->has_head ? NUMBERED_RETRY_MS : 0,
        .lifetime_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .drain_ms = SSE_TIMER_OFF,
        .queue_bytes = plan->reliable ? (size_t)16 << 20 : 6000,
        .queue_messages = plan->reliable ? 1 << 20 : 40,
        .on_ready = on_ready,
        .on_blocked = on_blocked,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };

    if (plan->timers)
        set_timers(&options, &client->random);
    return options;
}

int racing_client_new(struct racing_client **client, const struct racing_plan *plan)
{
    struct racing_client *made = calloc(1, sizeof(*made));
    struct sse_emitter_options options;
    int error;

    require(made != NULL);
    made->plan = *plan;
    made->fd = -1;
    made->peer = -1;
    schedule_random_init(&made->random, plan->seed, 0);
    pthread_mutex_init(&made->reading, NULL);
    pthread_mutex_init(&made->waiting, NULL);
    pthread_mutex_init(&made->replacing, NULL);
    if (plan->drain == SSE_DRAIN_FD)
        open_sockets(made);
    *client = made;
    options = options_of(made);
    error = sse_emitter_new(&made->emitter, &options);
    if (!error)
        set(&made->made, true);
    return error;
}

/* What a peek shows stays valid even if the emitter ends before the advance. */
static int take_by_peek(struct racing_client *client, struct schedule_random *random)
{
    struct iovec iov[3];
    size_t size = 0;
    int result = sse_emitter_peek(client->emitter, iov, 1 + (int)schedule_below(random, 3));

    if (result <= 0)
        return result;
    for (int i = 0; i < result; i++)
        size += iov[i].iov_len;
    if (!get(&client->generous))
        size = schedule_below(random, (unsigned)size + 1);
    schedule_pause(random);
    record(&client->stream, iov, size);
    client->peeked = true;
    require(sse_emitter_advance(client->emitter, size) == 0);
    return 1;
}

static int take_by_read(struct racing_client *client, struct schedule_random *random)
{
    char buffer[2048];
    ssize_t result = sse_emitter_read(client->emitter, buffer, 1 + schedule_below(random, sizeof(buffer)));

    if (result > 0)
        numbered_stream_append(&client->stream, buffer, (size_t)result);
    return result > 0 ? 1 : (int)result;
}

static int take_bytes(struct racing_client *client, struct schedule_random *random)
{
    int result;

    if (pthread_mutex_trylock(&client->reading))
        return 1;
    client->told_before = count(&client->told);
    result = schedule_one_in(random, 2) ? take_by_peek(client, random) : take_by_read(client, random);
    client->found_nothing = result == 0;
    pthread_mutex_unlock(&client->reading);
    return result;
}

/* With `reading` held. */
static void receive(struct racing_client *client)
{
    char buffer[4096];
    ssize_t size = 1;

    while (client->peer >= 0 && size > 0) {
        size = recv(client->peer, buffer, sizeof(buffer), 0);
        if (size > 0)
            numbered_stream_append(&client->stream, buffer, (size_t)size);
    }
}

int racing_client_pump(struct racing_client *client, struct schedule_random *random)
{
    if (client->plan.drain == SSE_DRAIN_PULL)
        return take_bytes(client, random);
    if (client->plan.drain == SSE_DRAIN_FD && !pthread_mutex_trylock(&client->reading)) {
        receive(client);
        pthread_mutex_unlock(&client->reading);
    }
    return sse_emitter_flush(client->emitter);
}

void racing_client_drain(struct racing_client *client, struct schedule_random *random)
{
    set(&client->generous, true);
    while (racing_client_pump(client, random) > 0)
        ;
}

void racing_client_check_told(struct racing_client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    if (client->plan.drain != SSE_DRAIN_PULL || !client->found_nothing)
        return;
    require(sse_emitter_info(client->emitter, &info) == 0);
    require(!info.queued_bytes || info.state == SSE_STATE_CLOSED ||
            count(&client->told) > client->told_before);
}

void racing_client_leave(struct racing_client *client)
{
    if (client->plan.drain != SSE_DRAIN_FD || client->plan.reliable)
        return;
    pthread_mutex_lock(&client->reading);
    if (client->peer >= 0)
        close(client->peer);
    client->peer = -1;
    client->left = true;
    pthread_mutex_unlock(&client->reading);
}

static bool has_reason(const struct racing_client *client, const enum sse_reason *reasons,
                       size_t reason_count)
{
    for (size_t i = 0; i < reason_count; i++) {
        if (client->completion.reason == reasons[i])
            return true;
    }
    return false;
}

static void check_hooks(const struct racing_client *client)
{
    static const enum sse_reason timeouts[] = {SSE_REASON_LIFETIME, SSE_REASON_STALL, SSE_REASON_DRAIN};
    static const enum sse_reason errors[] = {SSE_REASON_PEER_GONE, SSE_REASON_IO_ERROR, SSE_REASON_OVERFLOW,
                                             SSE_REASON_APPLICATION};
    bool timed_out = has_reason(client, timeouts, sizeof(timeouts) / sizeof(timeouts[0]));
    bool failed = has_reason(client, errors, sizeof(errors) / sizeof(errors[0]));

    require(count(&client->completions) == 1 && count(&client->releases) == 1);
    require(client->completion.reason != SSE_REASON_NONE);
    require(count(&client->timeouts) == timed_out);
    require(count(&client->errors) == failed);
    require(client->hooks_run == 1u + timed_out + failed);
    if (client->completion.reason == SSE_REASON_SHUTDOWN)
        require(client->completion.error == 0 || client->completion.error == -ETIMEDOUT);
    else
        require((client->completion.error == 0) == (client->completion.reason == SSE_REASON_COMPLETED));
    require(!get(&client->inside) && get(&client->gone));
}

static void check_graceful(const struct racing_client *client, const struct numbered_list *list)
{
    static const enum sse_reason graceful[] = {SSE_REASON_COMPLETED, SSE_REASON_LIFETIME,
                                               SSE_REASON_SHUTDOWN};
    bool cut = client->completion.reason == SSE_REASON_SHUTDOWN && client->completion.error;

    if (cut || !has_reason(client, graceful, sizeof(graceful) / sizeof(graceful[0])))
        return;
    require(client->completion.dropped == 0);
    if (client->left)
        return;
    require(list->whole);
    require(list->last_chunk == client->plan.chunked);
}

/* Of a client that left, or that took bytes after the end, some bytes are not known or not counted. */
static void check_counts(const struct racing_client *client, const struct numbered_list *list)
{
    const struct sse_completion *completion = &client->completion;
    const struct numbered_key *last;
    char id[32];

    if (client->left)
        return;
    if (client->peeked) {
        require(completion->bytes <= client->stream.size && completion->events <= list->count);
    } else {
        require(completion->bytes == client->stream.size);
        require(completion->events == list->count);
    }
    if (completion->events == 0) {
        require(completion->last_event_id.ptr == NULL);
        return;
    }
    last = &list->keys[completion->events - 1];
    snprintf(id, sizeof(id), "%u-%u", last->publisher, last->sequence);
    require(strcmp(id, client->last_event_id) == 0);
}

void racing_client_check(struct racing_client *client, struct numbered_list *list)
{
    receive(client);
    numbered_list_init(list, &client->stream, client->plan.has_head, client->plan.chunked);
    if (!get(&client->made)) {
        require(count(&client->completions) == 0 && count(&client->releases) == 0 && !client->hooks_run);
        return;
    }
    check_hooks(client);
    check_graceful(client, list);
    check_counts(client, list);
}

void racing_client_free(struct racing_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    if (client->peer >= 0)
        close(client->peer);
    pthread_mutex_destroy(&client->reading);
    pthread_mutex_destroy(&client->waiting);
    pthread_mutex_destroy(&client->replacing);
    numbered_stream_free(&client->stream);
    free(client);
}

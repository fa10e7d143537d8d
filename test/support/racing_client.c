/* SPDX-License-Identifier: MIT */
#include "racing_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The running calls that must not run callbacks. */
static _Thread_local unsigned calls;
/* The emitter without a loop whose work the thread is doing. */
static _Thread_local const struct racing_client *own;

/** The state of the thread before it began to do the work of an emitter. */
struct working {
    const struct racing_client *own;
    unsigned calls;
};

/* Calls of an emitter's own thread run its callbacks. Calls of other threads do not, and with a loop no call
 * does. */
static struct working begin_work(const struct racing_client *client)
{
    struct working before = {own, calls};

    own = client->plan.loop ? own : client;
    calls = client->plan.loop ? calls + 1 : 0;
    return before;
}

static void end_work(struct working before)
{
    own = before.own;
    calls = before.calls;
}

void racing_call_begin(void)
{
    calls++;
}

void racing_call_end(void)
{
    calls--;
}

static bool get(const atomic_bool *flag)
{
    return atomic_load_explicit(flag, memory_order_relaxed);
}

/* Helgrind and DRD treat an atomic store as a plain one, but not an exchange. */
static void set(atomic_bool *flag, bool value)
{
    (void)atomic_exchange_explicit(flag, value, memory_order_relaxed);
}

static unsigned count(const atomic_uint *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Returns the old value. */
static unsigned add(atomic_uint *counter)
{
    return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Whether it runs in the owner's thread, and not inside a call that only queues. */
static void check_thread(const struct racing_client *client)
{
    require(calls == 0);
    require(client->plan.loop ? loop_thread_is_mine(client->plan.loop) : own == client);
}

static void visit(struct racing_client *client, enum racing_place place)
{
    if (client->plan.visit)
        client->plan.visit(client, place);
    require(calls == 0);
}

static void enter_output(struct racing_client *client)
{
    check_thread(client);
    require(!atomic_exchange_explicit(&client->inside, true, memory_order_relaxed));
    require(!get(&client->gone));
    require(count(&client->completions) == 0);
    client->entries++;
}

static void leave_output(struct racing_client *client)
{
    client->entries++;
    set(&client->inside, false);
}

static void be_gone(struct racing_client *client)
{
    require(!get(&client->inside));
    require(client->entries % 2 == 0);
    set(&client->gone, true);
}

/* Decides the result of this write: the number of accepted bytes, or an error. */
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

    enter_output(client);
    visit(client, IN_WRITE);
    require(iov_count >= 1 && iov_count <= 16);
    for (int i = 0; i < iov_count; i++)
        offered += iov[i].iov_len;
    require(offered > 0);
    result = choose_result(client, offered);
    schedule_pause(&client->random);
    if (result > 0)
        record(&client->stream, iov, (size_t)result);
    leave_output(client);
    return result;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct racing_client *client = user;

    enter_output(client);
    require(emitter != NULL && what == (client->plan.output == SSE_OUTPUT_PULL ? SSE_READABLE : SSE_BLOCKED));
    add(&client->told);
    visit(client, IN_READY);
    schedule_pause(&client->random);
    leave_output(client);
}

/* An emitter that has ended does not use its output any more, and its callbacks run one after the other. */
static void enter_end(struct racing_client *client)
{
    check_thread(client);
    require(!get(&client->inside));
    require(count(&client->completions) == 0 && count(&client->releases) == 0);
    client->callbacks_run++;
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    struct racing_client *client = user;

    enter_end(client);
    require(emitter != NULL && racing_reason_is_timeout(reason));
    require(add(&client->timeouts) == 0 && count(&client->errors) == 0);
    visit(client, IN_TIMEOUT);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct racing_client *client = user;

    enter_end(client);
    require(emitter != NULL && error < 0);
    require(add(&client->errors) == 0 && count(&client->timeouts) == 0);
    visit(client, IN_ERROR);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct racing_client *client = user;

    enter_end(client);
    require(emitter != NULL);
    require(add(&client->completions) == 0);
    client->completion = *completion;
    require(completion->last_event_id.len < sizeof(client->last_event_id));
    if (completion->last_event_id.len)
        memcpy(client->last_event_id, completion->last_event_id.ptr, completion->last_event_id.len);
    be_gone(client);
    visit(client, IN_COMPLETION);
}

/* Once its loop is freed, on_release runs in the thread that releases the last reference. Without a loop it always
 * does. */
static void on_release(void *user)
{
    struct racing_client *client = user;

    if (client->plan.loop && !get(&client->plan.loop->freeing))
        check_thread(client);
    require(count(&client->completions) == 1);
    require(!SCHEDULE_ATOMICS_ARE_SEEN || client->callbacks_run > 0);
    require(add(&client->releases) == 0);
    if (client->plan.visit)
        client->plan.visit(client, IN_RELEASE);
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
    options->start_ms = 100 + (int64_t)schedule_below(random, 1000);
    options->lifetime_ms = 500 + (int64_t)schedule_below(random, 4000);
    options->lifetime_jitter_ms = 400;
    options->stall_ms = 200 + (int64_t)schedule_below(random, 2000);
    options->drain_ms = 100 + (int64_t)schedule_below(random, 1000);
    options->heartbeat_ms = 100 + (int64_t)schedule_below(random, 1000);
}

static struct sse_emitter_options options_of(struct racing_client *client,
                                             const struct sse_http_options *http)
{
    const struct racing_plan *plan = &client->plan;
    struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = plan->platform,
        .registry = plan->registry,
        .loop = plan->loop ? plan->loop->loop : NULL,
        .topics = plan->topics,
        .topic_count = plan->topic_count,
        .output = plan->output,
        .fd = client->fd,
        .keep_fd = plan->output == SSE_OUTPUT_FD && !plan->owned,
        .write = plan->output == SSE_OUTPUT_CALLBACK ? write_bytes : NULL,
        .framing = plan->chunked ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW,
        .http = plan->has_head ? http : NULL,
        .retry_ms = plan->has_head ? NUMBERED_RETRY_MS : 0,
        .paused = plan->paused,
        .start_ms = SSE_TIMER_OFF,
        .lifetime_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .drain_ms = SSE_TIMER_OFF,
        .queue_bytes = plan->reliable ? (size_t)16 << 20 : 6000,
        .queue_messages = plan->reliable ? 1 << 20 : 40,
        .on_ready = plan->loop ? on_ready : NULL,
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
    const struct sse_http_options http = {.size = sizeof(http), .chunked = plan->chunked};
    struct racing_client *made = calloc(1, sizeof(*made));
    struct sse_emitter_options options;
    int error;

    require(made != NULL);
    made->plan = *plan;
    made->fd = -1;
    made->peer = -1;
    schedule_random_init(&made->random, plan->seed, 0);
    pthread_mutex_init(&made->reading, NULL);
    if (plan->output == SSE_OUTPUT_FD)
        open_sockets(made);
    *client = made;
    options = options_of(made, &http);
    racing_call_begin();
    error = sse_emitter_new(&made->emitter, &options, NULL);
    racing_call_end();
    if (!error)
        set(&made->made, true);
    return error;
}

void racing_client_close(struct racing_client *client, bool from_outside)
{
    struct working before = begin_work(client);

    sse_emitter_close(client->emitter);
    end_work(before);
    if (!from_outside || client->plan.owned)
        return;
    be_gone(client);
    if (client->fd < 0)
        return;
    require(dup2(client->plan.trap, client->fd) == client->fd);
}

/* The peeked bytes stay valid even if the emitter ends before they are consumed. */
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
    require(sse_emitter_consume(client->emitter, size) == 0);
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

void racing_client_receive(struct racing_client *client)
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
    struct working before = begin_work(client);
    int result;

    if (client->plan.output == SSE_OUTPUT_PULL) {
        result = take_bytes(client, random);
    } else {
        if (client->plan.output == SSE_OUTPUT_FD && !pthread_mutex_trylock(&client->reading)) {
            racing_client_receive(client);
            pthread_mutex_unlock(&client->reading);
        }
        result = sse_emitter_flush(client->emitter);
    }
    end_work(before);
    return result;
}

int racing_client_wait(struct racing_client *client, int timeout_ms, struct schedule_random *random)
{
    struct working before = begin_work(client);
    int result = sse_emitter_wait(client->emitter, timeout_ms);

    if (result == 1)
        result = racing_client_pump(client, random);
    end_work(before);
    return result;
}

void racing_client_be_generous(struct racing_client *client)
{
    set(&client->generous, true);
}

void racing_client_check_told(struct racing_client *client)
{
    struct sse_emitter_info info;

    if (client->plan.output != SSE_OUTPUT_PULL || !client->plan.loop || !client->found_nothing)
        return;
    require(sse_emitter_get_info(client->emitter, &info, sizeof(info)) == 0);
    require(!info.queued_bytes || info.state == SSE_STATE_CLOSED ||
            count(&client->told) > client->told_before);
}

void racing_client_leave(struct racing_client *client)
{
    if (client->plan.output != SSE_OUTPUT_FD || client->plan.reliable)
        return;
    pthread_mutex_lock(&client->reading);
    if (client->peer >= 0)
        close(client->peer);
    client->peer = -1;
    client->left = true;
    pthread_mutex_unlock(&client->reading);
}

void racing_client_free(struct racing_client *client)
{
    if (client->fd >= 0 && (!client->plan.owned || !get(&client->made)))
        close(client->fd);
    if (client->peer >= 0)
        close(client->peer);
    pthread_mutex_destroy(&client->reading);
    numbered_stream_free(&client->stream);
    free(client);
}

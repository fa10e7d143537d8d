/* SPDX-License-Identifier: MIT */
#include "scene.h"
#include "atomics.h"
#include "calls.h"
#include "failure.h"
#include "locks.h"
#include "memory.h"
#include "objects.h"
#include "fanout/registry.h"
#include "loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct scene scene;
const struct sse_text first_topic = {"one", 3};
const struct sse_text second_topic = {"two", 3};

void scene_open(void)
{
    memory_clear();
    locks_clear();
    atomics_clear();
    calls_clear();
    objects_clear();
    memset(&scene, 0, sizeof(scene));
    for (unsigned i = 0; i < CLIENTS; i++)
        (void)objects_bit(&scene.clients[i]);
    fake_platform_init(&scene.fake);
    scene.platform = scene.fake.platform;
    scene.platform.allocate = memory_allocate;
    scene.platform.deallocate = memory_deallocate;
}

void scene_add_registry(const struct sse_registry_options *given)
{
    struct sse_registry_options options = *given;
    struct emitter_tally *tally;

    options.platform = &scene.platform;
    require(sse_registry_new(&scene.registry, &options) == 0);
    scene.registry_references = 1;
    objects_name(&scene.registry->lock, "registry.lock");
    objects_name(&scene.registry->refs, "registry.refs");
    objects_name(&scene.registry->none_remain, "registry.none_remain");
    tally = &scene.registry->group.tally;
    objects_name(&tally->queued, "tally.queued");
    objects_name(&tally->tried, "tally.tried");
    if (!options.backlog_bytes)
        atomics_leave_out(tally, sizeof(*tally));
}

static void expect_no_lock(void)
{
    if (locks_held())
        failure("code of the program runs with a lock held");
}

static void on_wake(struct sse_loop *inner, void *user)
{
    struct server_loop *loop = user;
    const struct step step = {.what = "on_wake", .object = loop, .touches = objects_bit(loop)};

    expect_no_lock();
    scheduler_step(&step);
    require(!loop->is_freed && loop->loop == inner);
    require(loop->inside != scheduler_self());
    require(!loop->woken);
    loop->woken = true;
}

void scene_add_loop(unsigned number, bool polled)
{
    struct server_loop *loop = &scene.loops[number];
    const struct sse_loop_options options = {.size = sizeof(options),
                                             .platform = &scene.platform,
                                             .on_wake = polled ? NULL : on_wake,
                                             .user = loop};

    loop->inside = NOBODY;
    loop->next = UINT64_MAX;
    loop->polled = polled;
    scene.has_descriptors |= polled;
    require(sse_loop_new(&loop->loop, &options) == 0);
    if (polled)
        loop->descriptor = sse_loop_fd(loop->loop);
    require(loop->descriptor >= 0);
    objects_name(loop, number ? "loop 1" : "loop 0");
    objects_name(&loop->loop->lock, number ? "loop1.lock" : "loop0.lock");
    objects_name(&loop->loop->marks.lock, number ? "marks1.lock" : "marks0.lock");
    objects_name(&loop->loop->marks.unpinned, number ? "marks1.unpinned" : "marks0.unpinned");
}

bool loop_is_due(const struct server_loop *loop)
{
    struct pollfd readable = {.fd = loop->descriptor, .events = POLLIN};

    if (!loop->loop || loop->is_freed)
        return false;
    if (!loop->polled)
        return loop->woken || loop->next <= atomic_load(&scene.fake.now);
    return poll(&readable, 1, 0) > 0;
}

void loop_turn(struct server_loop *loop)
{
    int result;

    require(loop->inside == NOBODY);
    loop->inside = scheduler_self();
    loop->woken = false;
    scheduler_touch(objects_bit(loop));
    result = loop->polled ? sse_loop_dispatch(loop->loop, 0) : sse_loop_turn(loop->loop);
    require(loop->polled ? result == 0 : result >= -1);
    loop->next = UINT64_MAX;
    if (!loop->polled && result >= 0)
        loop->next = atomic_load(&scene.fake.now) + (uint64_t)result * NANOSECONDS_PER_MILLISECOND;
    loop->inside = NOBODY;
    expect_no_lock();
}

void loop_free(struct server_loop *loop)
{
    require(loop->inside == NOBODY);
    loop->inside = scheduler_self();
    loop->is_ending = true;
    scheduler_touch(objects_bit(loop));
    sse_loop_free(loop->loop);
    loop->inside = NOBODY;
    loop->is_freed = true;
    scheduler_touch(objects_bit(loop));
}

/* Checks where a callback runs: in the loop's thread; without a loop in the owner's, which the test obeys. */
static void expect_place(const struct client *client)
{
    expect_no_lock();
    if (client->plan.loop && client->plan.loop->inside != scheduler_self())
        failure("a callback runs outside of its loop's turn");
}

static void expect_output(const struct client *client)
{
    if (client->is_closed)
        failure("the output is touched after sse_emitter_close has returned");
    require(client->completions == 0);
}

/* Other threads may run before any byte is accepted. */
static void enter_output(struct client *client, const char *what)
{
    const struct step step = {.what = what, .object = client, .touches = objects_bit(client)};

    expect_place(client);
    expect_output(client);
    require(client->inside == NOBODY);
    client->inside = scheduler_self();
    scheduler_touch(objects_bit(client));
    scheduler_step(&step);
    expect_output(client);
}

static void leave_output(struct client *client)
{
    client->inside = NOBODY;
    scheduler_touch(objects_bit(client));
}

static void log_bytes(struct client *client, const void *bytes, size_t size)
{
    require(client->log_size + size <= LOG_SIZE);
    memcpy(client->log + client->log_size, bytes, size);
    client->log_size += size;
}

static ssize_t write_to(void *user, const struct iovec *iov, int count)
{
    struct client *client = user;
    ssize_t size = 0;

    enter_output(client, "output");
    for (int i = 0; i < count && !client->is_full; i++) {
        log_bytes(client, iov[i].iov_base, iov[i].iov_len);
        size += (ssize_t)iov[i].iov_len;
    }
    leave_output(client);
    return size ? size : -EAGAIN;
}

/* The reader may read again before this call has reached it, so the state at the beginning counts. */
static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct client *client = user;
    bool is_reader = client->plan.output == SSE_OUTPUT_PULL;

    (void)emitter;
    require(what == (is_reader ? SSE_READABLE : SSE_BLOCKED));
    require(!is_reader || client->is_asleep);
    client->is_asleep = false;
    enter_output(client, "on_ready");
    leave_output(client);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    expect_place(client);
    require(client->inside == NOBODY && client->releases == 0);
    require(client->completions++ == 0);
    if (client->plan.output == SSE_OUTPUT_PULL && client->plan.loop && !client->is_closing &&
        client->is_asleep)
        failure("a reader that waits was not told of the end");
    require(completion->reason != SSE_REASON_NONE);
    client->completion = *completion;
    scheduler_touch(objects_bit(client));
}

static void on_release(void *user)
{
    struct client *client = user;

    expect_no_lock();
    if (client->plan.loop && !client->plan.loop->is_ending)
        expect_place(client);
    if (client->plan.loop)
        scheduler_touch(objects_bit(client->plan.loop));
    require(client->completions == 1);
    require(client->releases++ == 0);
}

void client_set_full(struct client *client, bool is_full)
{
    client->is_full = is_full;
    scheduler_touch(objects_bit(client));
    if (client->descriptor >= 0)
        calls_set_full(client->descriptor, is_full);
}

static void open_descriptor(struct client *client)
{
    int ends[2];

    scene.has_descriptors = true;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    client->descriptor = ends[0];
    client->peer = ends[1];
    calls_begin(ends[0]);
    calls_begin(ends[1]);
    client_set_full(client, client->is_full);
}

static void name_client(const struct client *client)
{
    static const char *const names[CLIENTS] = {"client 0", "client 1", "client 2", "client 3"};
    static const char *const locks[CLIENTS] = {"emitter0.lock", "emitter1.lock", "emitter2.lock",
                                               "emitter3.lock"};
    static const char *const references[CLIENTS] = {"emitter0.refs", "emitter1.refs", "emitter2.refs",
                                                    "emitter3.refs"};

    objects_name(client, names[client - scene.clients]);
    if (!client->emitter)
        return;
    objects_name(&client->emitter->lock, locks[client - scene.clients]);
    objects_name(&client->emitter->refs, references[client - scene.clients]);
}

int scene_add_client(const struct plan *plan)
{
    struct client *client = &scene.clients[scene.client_count++];
    struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = &scene.platform,
        .registry = scene.registry,
        .loop = plan->loop ? plan->loop->loop : NULL,
        .topics = plan->topics,
        .topic_count = plan->topic_count,
        .output = plan->output,
        .keep_fd = plan->output == SSE_OUTPUT_FD && !plan->owned,
        .paused = plan->paused,
        .last_event_id = sse_str(plan->after),
        .heartbeat_ms = HEARTBEAT_MS,
        .queue_messages = plan->queue_messages,
        .write = plan->output == SSE_OUTPUT_CALLBACK ? write_to : NULL,
        .on_ready = plan->loop ? on_ready : NULL,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };
    int error;

    require(scene.client_count <= CLIENTS);
    *client = (struct client){.plan = *plan,
                              .inside = NOBODY,
                              .is_full = plan->full,
                              .is_asleep = true,
                              .descriptor = -1,
                              .peer = -1};
    if (plan->output == SSE_OUTPUT_FD)
        open_descriptor(client);
    options.fd = client->descriptor >= 0 ? client->descriptor : 0;
    error = sse_emitter_new(plan->is_forgotten ? NULL : &client->emitter, &options, NULL);
    client->is_made = !error;
    client->references = client->emitter != NULL;
    name_client(client);
    return error;
}

struct sent_event *scene_next_event(void)
{
    unsigned self = scheduler_self();
    struct sent_event *event = &scene.events[scene.event_count++];

    require(scene.event_count <= EVENTS_MAX);
    event->code[0] = (char)('A' + self);
    event->code[1] = (char)('1' + scene.sent_by[self]++);
    return event;
}

void client_close(struct client *client)
{
    client->references--;
    client->is_closing = true;
    client->must_end = true;
    scheduler_touch(objects_bit(client));
    sse_emitter_close(client->emitter);
    if (client->inside != NOBODY)
        failure("sse_emitter_close has returned, and a thread is inside the output");
    client->is_closed = true;
    scheduler_touch(objects_bit(client));
    if (client->descriptor >= 0 && !client->plan.owned)
        calls_forbid(client->descriptor);
}

void client_unref(struct client *client)
{
    client->references--;
    sse_emitter_unref(client->emitter);
}

int client_read(struct client *client, unsigned peeks)
{
    struct iovec iov[4];
    int count = 0;

    for (unsigned i = 0; i < peeks; i++) {
        size_t size = 0;

        count = sse_emitter_peek(client->emitter, iov, 4);
        client->is_asleep = !count;
        scheduler_touch(objects_bit(client));
        if (count <= 0)
            break;
        for (int k = 0; k < count; k++) {
            log_bytes(client, iov[k].iov_base, iov[k].iov_len);
            size += iov[k].iov_len;
        }
        require(sse_emitter_consume(client->emitter, size) == 0);
    }
    return count;
}

void client_receive(struct client *client)
{
    ssize_t size;

    if (client->peer < 0)
        return;
    do {
        require(client->log_size < LOG_SIZE);
        size = recv(client->peer, client->log + client->log_size, LOG_SIZE - client->log_size, 0);
        client->log_size += size > 0 ? (size_t)size : 0;
    } while (size > 0);
}

void scene_forget(void)
{
    calls_clear();
    for (int i = STDERR_FILENO + 1; scene.has_descriptors && i < DESCRIPTORS_MAX; i++)
        (void)close(i);
}

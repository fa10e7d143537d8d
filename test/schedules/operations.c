/* SPDX-License-Identifier: MIT */
#include "operations.h"
#include "failure.h"
#include "objects.h"
#include "scene.h"

#include <errno.h>
#include <string.h>

#define PEEKS 2

/** A thread that waits for its loop to be woken. */
struct idle {
    unsigned thread;
    const struct server_loop *loop; /* NULL: it does not wait */
};

static struct idle idle[THREADS];

void operations_clear(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        idle[i] = (struct idle){.thread = i};
}

static bool is_done(unsigned thread)
{
    const struct server_loop *loop = idle[thread].loop;

    return scheduler_has_finished(thread) || (loop && !loop_is_due(loop));
}

static bool may_go_on(const void *of)
{
    const struct idle *self = of;
    bool all = true;

    if (loop_is_due(self->loop))
        return true;
    for (unsigned i = 0; i < THREADS; i++)
        all = all && (i == self->thread || is_done(i));
    return all;
}

/* Returns false if nobody will wake it any more. */
static bool wait_for_wake(struct server_loop *loop)
{
    struct idle *self = &idle[scheduler_self()];
    const uint64_t touches = objects_bit(loop) | TOUCHES_ENDS | (loop->polled ? TOUCHES_SYSTEM : 0);
    const struct step step = {
        .what = "wait for", .object = loop, .touches = touches, .is_ready = may_go_on, .of = self};

    self->loop = loop;
    scheduler_touch(TOUCHES_ENDS);
    scheduler_step(&step);
    self->loop = NULL;
    return loop_is_due(loop);
}

static void turn(struct server_loop *loop)
{
    if (wait_for_wake(loop))
        loop_turn(loop);
}

void turn_0(void)
{
    turn(&scene.loops[0]);
}

void turn_1(void)
{
    turn(&scene.loops[1]);
}

void serve_0(void)
{
    while (wait_for_wake(&scene.loops[0]))
        loop_turn(&scene.loops[0]);
}

void free_loop_0(void)
{
    loop_free(&scene.loops[0]);
}

static struct sse_event event_of(const struct sent_event *sent)
{
    return (struct sse_event){.data = {.ptr = sent->code, .len = CODE_SIZE - 1}};
}

static void publish_to(struct sse_text topic)
{
    struct sent_event *sent = scene_next_event();
    const struct sse_event event = event_of(sent);
    struct sse_delivery delivery;

    sent->is_published = true;
    require(sse_registry_publish(scene.registry, topic, &event, &delivery) == 0);
    sent->accepted = delivery.receivers;
    memcpy(sent->id, delivery.id, sizeof(sent->id));
}

void publish(void)
{
    publish_to(first_topic);
}

void publish_to_second(void)
{
    publish_to(second_topic);
}

void publish_to_all(void)
{
    publish_to((struct sse_text){.ptr = NULL});
}

static bool is_end(int error)
{
    return error == SSE_ENDED || error == -ECANCELED || error == -EIO || error == -EPROTO ||
           error == -ENOBUFS;
}

void subscribe_0(void)
{
    int error = sse_registry_subscribe(scene.registry, scene.clients[0].emitter, &second_topic, 1,
                                       (struct sse_text){.ptr = NULL}, NULL);

    require(error == 0 || error == -ENOENT || error == -ECONNREFUSED || is_end(error));
}

void unsubscribe_0(void)
{
    int error = sse_registry_unsubscribe(scene.registry, scene.clients[0].emitter, &second_topic, 1);

    require(error == 0 || error == -ENOENT);
}

void complete_all(void)
{
    require(sse_registry_complete(scene.registry, (struct sse_text){.ptr = NULL}) == 0);
    scene.clients[0].must_end = true;
}

void shut_down(void)
{
    struct sent_event *sent = scene_next_event();
    const struct sse_event event = event_of(sent);
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &event, .drain_ms = 1000};

    require(sse_registry_shutdown(scene.registry, &options) == 0);
    scene.is_shut_down = true;
}

void wait_for_all(void)
{
    require(sse_registry_wait(scene.registry, -1) == 0);
}

void unref_registry(void)
{
    scene.registry_references--;
    sse_registry_unref(scene.registry);
}

static void add(const struct plan *plan)
{
    int error = scene_add_client(plan);

    require(error == 0 || error == -ECONNREFUSED || error == -EAGAIN);
}

void add_callback_client(void)
{
    add(&(struct plan){
        .output = SSE_OUTPUT_CALLBACK, .loop = &scene.loops[0], .topics = &first_topic, .topic_count = 1});
}

void add_client_that_returns(void)
{
    add(&(struct plan){.output = SSE_OUTPUT_CALLBACK,
                       .loop = &scene.loops[0],
                       .topics = &first_topic,
                       .topic_count = 1,
                       .after = scene.events[0].id});
}

void add_forgotten_client(void)
{
    add(&(struct plan){.output = SSE_OUTPUT_FD,
                       .loop = &scene.loops[0],
                       .topics = &first_topic,
                       .topic_count = 1,
                       .owned = true,
                       .is_forgotten = true});
}

static void send_to(const struct client *client)
{
    struct sent_event *sent = scene_next_event();
    const struct sse_event event = event_of(sent);
    int error = sse_emitter_send(client->emitter, &event);

    require(error == 0 || is_end(error));
    sent->accepted = !error;
}

void send_0(void)
{
    send_to(&scene.clients[0]);
}

void send_1(void)
{
    send_to(&scene.clients[1]);
}

void flush_0(void)
{
    int result = sse_emitter_flush(scene.clients[0].emitter);

    require(result == 0 || result == 1 || is_end(result));
}

static void start(bool filled)
{
    int error = sse_emitter_start(scene.clients[0].emitter, filled);

    require(error == 0 || is_end(error));
}

void start_0(void)
{
    start(false);
}

void start_filled_0(void)
{
    start(true);
}

void complete_0(void)
{
    int error = sse_emitter_complete(scene.clients[0].emitter);

    scene.clients[0].must_end = true;
    require(error == 0 || error == -EALREADY);
}

void abort_0(void)
{
    int error = sse_emitter_abort(scene.clients[0].emitter, -EPROTO);

    scene.clients[0].must_end = true;
    require(error == 0 || error == -EALREADY);
}

void close_0(void)
{
    client_close(&scene.clients[0]);
}

void close_1(void)
{
    client_close(&scene.clients[1]);
}

void unref_0(void)
{
    client_unref(&scene.clients[0]);
}

void read_0(void)
{
    (void)client_read(&scene.clients[0], PEEKS);
}

void wait_and_read_0(void)
{
    int result = sse_emitter_wait(scene.clients[0].emitter, -1);

    require(result == 1 || result == -EINTR || is_end(result));
    if (result == 1)
        (void)client_read(&scene.clients[0], PEEKS);
}

void interrupt_0(void)
{
    require(sse_emitter_interrupt(scene.clients[0].emitter) == 0);
}

void make_room_0(void)
{
    client_set_full(&scene.clients[0], false);
    flush_0();
}

/* SPDX-License-Identifier: MIT */
/*
 * A payment page: current state first, then live events, and nothing is lost between two connections.
 *
 *     05_payment_page 8080 payments.txt
 *
 * Open http://127.0.0.1:8080/, or
 *
 *     curl -d '' http://127.0.0.1:8080/pay
 *     curl -N 'http://127.0.0.1:8080/events?payment=...'
 *     curl -N -H 'Last-Event-ID: ...' 'http://127.0.0.1:8080/events?payment=...'
 *
 * Networks break streams at any moment. To show what happens then, this server ends the stream just
 * before it publishes the result. The browser reconnects with its Last-Event-ID and gets the result from
 * the history. If the history does not reach back so far, because the server was restarted or the history
 * was full, the client gets the current state from the store.
 */
#include "payment_page.h"

#define PROGRAM "05_payment_page"

static struct sse_registry *registry;
static struct sse_loop *loop;

/* A payment is a topic. payment_page.h calls this function and open_stream with the payments locked, so each
 * stream begins with the state before its first live event. */
static int publish(struct payment *payment)
{
    const struct sse_text topic = sse_str(payment->id);
    const struct sse_event event = {.type = sse_str("state"),
                                    .data = sse_str(payment_states[payment->state])};
    struct sse_delivery delivery;
    int error;

    /* The worst moment: nobody is connected when the result is published. */
    if (payment->state == PAID)
        sse_registry_complete(registry, topic);
    error = sse_registry_publish(registry, topic, &event, &delivery);
    if (error == 0)
        memcpy(payment->event_id, delivery.id, sizeof(delivery.id));
    return error;
}

/* The state has the id of its event, so that a replay continues from there. */
static void send_state(struct sse_emitter *emitter, const struct payment *payment)
{
    const struct sse_event event = {.type = sse_str("state"),
                                    .data = sse_str(payment_states[payment->state]),
                                    .id = sse_str(payment->event_id)};
    int error = sse_emitter_send(emitter, &event);

    if (error)
        sse_emitter_abort(emitter, error);
}

static bool has_seen(const struct payment *payment, struct sse_text last_event_id)
{
    return last_event_id.len == strlen(payment->event_id) &&
           memcmp(last_event_id.ptr, payment->event_id, last_event_id.len) == 0;
}

static bool stream(int fd, const struct toy_request *request, const struct payment *payment,
                   struct sse_text last_event_id)
{
    const struct sse_http_options http = toy_stream_head(request);
    const struct sse_text topic = sse_str(payment->id);
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .loop = loop,
        .topics = &topic,
        .topic_count = 1,
        .last_event_id = last_event_id,
        .output = SSE_OUTPUT_FD,
        .fd = fd,
        .http = &http,
        .retry_ms = 1000,
        .paused = true,
    };
    struct sse_emitter *emitter;
    struct sse_replay replay;
    int error = sse_emitter_new(&emitter, &options, &replay);

    if (error) {
        toy_refuse(fd, error, &http);
        return false;
    }
    /* A new client gets the current state. A gap is filled with it too, because a state replaces those
     * before it, unless the history has later events: then they follow. */
    if (replay.outcome != SSE_REPLAY_COMPLETE && replay.oldest[0] == '\0' &&
        !has_seen(payment, last_event_id))
        send_state(emitter, payment);
    sse_emitter_start(emitter, true);
    if (payment->state == PAID)
        sse_emitter_complete(emitter);
    /* The loop keeps the emitter until the stream has ended. */
    sse_emitter_unref(emitter);
    return true;
}

static bool open_stream(int fd, const struct toy_request *request, const struct payment *payment)
{
    char id[SSE_ID_SIZE_MAX + 1];
    ssize_t size =
        sse_http_last_event_id(toy_header(request, "Last-Event-ID"), request->query, id, sizeof(id));
    const struct sse_text last_event_id = {id, (size_t)size};

    if (!sse_http_accepts(toy_header(request, "Accept")))
        toy_respond(fd, "406 Not Acceptable", "there is text/event-stream only\n");
    else if (payment->state == PAID && has_seen(payment, last_event_id))
        toy_send_no_content(fd, request);
    else
        return stream(fd, request, payment, last_event_id);
    return false;
}

static void *run_loop(void *unused)
{
    (void)unused;
    sse_loop_run(loop);
    return NULL;
}

int main(int argument_count, char **arguments)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = 256}, .history_age_ms = 600000};
    int port = open_payments(PROGRAM, argument_count, arguments);
    pthread_t thread;

    toy_check(PROGRAM, sse_registry_new(&registry, &options));
    toy_check(PROGRAM, sse_loop_new(&loop, NULL));
    /* Payments from before a restart. */
    for (size_t i = 0; i < payment_count; ++i)
        toy_check(PROGRAM, publish(&payments[i]));
    toy_check(PROGRAM, pthread_create(&thread, NULL, run_loop, NULL));
    serve_payments(PROGRAM, port);
    toy_check(PROGRAM, shut_down(registry));
    toy_join();
    sse_loop_finish(loop);
    pthread_join(thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}

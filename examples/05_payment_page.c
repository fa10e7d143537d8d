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
#define BANK_MS 2000
#define BANK_MS_MAX 1000000

static struct sse_registry *registry;
static struct sse_loop *loop;
static int bank_ms;

/* Guards the payments. A state changes and is published under this lock, and a stream opens under it, so
 * each stream begins with the state before its first live event. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* If it fails for want of memory, `event_id` stays empty, and the bank comes back to it. */
static void publish(struct payment *payment)
{
    const struct sse_event event = {.type = sse_str("state"),
                                    .data = sse_str(payment_states[payment->state])};
    struct sse_delivery delivery;

    if (sse_registry_publish(registry, sse_str(payment->id), &event, &delivery) == 0)
        memcpy(payment->event_id, delivery.id, sizeof(delivery.id));
    payment->due = toy_now() + bank_ms;
}

/* Saves before it publishes: no client must see a state that a crash would undo. */
static void move_on(struct payment *payment)
{
    payment->due = toy_now() + bank_ms;
    if (payment->event_id[0] != '\0') {
        ++payment->state;
        if (!save_payment(payment)) {
            --payment->state;
            return;
        }
        payment->event_id[0] = '\0';
    }
    /* The worst moment: nobody is connected from here on. */
    if (payment->state == PAID)
        sse_registry_complete(registry, sse_str(payment->id));
    publish(payment);
}

static void *run_bank(void *unused)
{
    (void)unused;
    while (!toy_stopped(bank_ms < 50 ? bank_ms : 50)) {
        pthread_mutex_lock(&lock);
        for (struct payment *payment = payments; payment < payments + payment_count; ++payment)
            if ((payment->state != PAID || payment->event_id[0] == '\0') && toy_now() >= payment->due)
                move_on(payment);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
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
    return last_event_id.len > 0 && last_event_id.len == strlen(payment->event_id) &&
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

static bool open_stream(int fd, const struct toy_request *request)
{
    const struct payment *payment = find_payment(request->query);
    char id[SSE_ID_SIZE_MAX + 1];
    ssize_t size =
        sse_http_last_event_id(toy_header(request, "Last-Event-ID"), request->query, id, sizeof(id));
    const struct sse_text last_event_id = {id, (size_t)size};

    if (!payment)
        toy_respond(fd, "404 Not Found", "no such payment\n");
    else if (!sse_http_accepts(toy_header(request, "Accept")))
        toy_respond(fd, "406 Not Acceptable", "there is text/event-stream only\n");
    else if (payment->state == PAID && has_seen(payment, last_event_id))
        toy_send_no_content(fd, request);
    else
        return stream(fd, request, payment, last_event_id);
    return false;
}

static void pay(int fd)
{
    struct payment *payment = add_payment();
    char answer[40];

    if (!payment) {
        toy_respond(fd, "503 Service Unavailable", "no room for a payment\n");
        return;
    }
    publish(payment);
    snprintf(answer, sizeof(answer), "%s\n", payment->id);
    toy_respond(fd, "201 Created", answer);
}

static bool handle(int fd, const struct toy_request *request)
{
    bool streams = false;

    pthread_mutex_lock(&lock);
    if (toy_is(request, "GET /"))
        toy_respond_as(fd, "200 OK", "html", payment_page);
    else if (toy_is(request, "POST /pay"))
        pay(fd);
    else if (toy_is(request, "GET /events"))
        streams = open_stream(fd, request);
    else
        toy_respond(fd, "404 Not Found", "GET /, POST /pay or GET /events?payment=ID\n");
    pthread_mutex_unlock(&lock);
    return streams;
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
    int port = argument_count == 3 || argument_count == 4 ? toy_number(arguments[1], 65535) : -1;
    pthread_t loop_thread, bank_thread;
    int listener;

    bank_ms = argument_count == 4 ? toy_number(arguments[3], BANK_MS_MAX) : BANK_MS;
    if (port < 0 || bank_ms <= 0)
        toy_usage(PROGRAM, "PORT FILE [BANK-MILLISECONDS]");
    open_payments(PROGRAM, arguments[2]);
    toy_check(PROGRAM, sse_registry_new(&registry, &options));
    toy_check(PROGRAM, sse_loop_new(&loop, NULL));
    /* Payments from before a restart. */
    for (size_t i = 0; i < payment_count; ++i)
        publish(&payments[i]);
    listener = toy_listen(PROGRAM, port);
    toy_check(PROGRAM, pthread_create(&loop_thread, NULL, run_loop, NULL));
    toy_check(PROGRAM, pthread_create(&bank_thread, NULL, run_bank, NULL));
    toy_serve(listener, handle);
    toy_check(PROGRAM, shut_down(registry));
    toy_join();
    sse_loop_finish(loop);
    pthread_join(loop_thread, NULL);
    pthread_join(bank_thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}

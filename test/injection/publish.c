/* SPDX-License-Identifier: MIT */
/* The steps that make events. */
#include "attempt.h"
#include "fault.h"
#include "step.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BATCH_MAX 4
#define PADDING_MAX 3000

static const int no_memory[] = {-ENOMEM, 0};

/** Events of a call, with their texts. */
struct made {
    unsigned first; /* the number */
    unsigned count;
    struct sse_event events[BATCH_MAX];
    char data[BATCH_MAX][PADDING_MAX + 16];
    char id[64];
};

static void make(struct made *made, const struct making *making)
{
    made->first = server.number + 1;
    made->count = making->count ? making->count : 1;
    made->id[0] = '\0';
    expect(made->count <= BATCH_MAX && making->padding <= PADDING_MAX, "too large a message");
    server.number += made->count;
    expect(server.number < EVENTS_MAX, "too many events");
    for (unsigned i = 0; i < made->count; i++) {
        int size = snprintf(made->data[i], sizeof(made->data[i]), "%u ", made->first + i);

        memset(made->data[i] + size, 'x', making->padding);
        made->events[i] = (struct sse_event){.data = {made->data[i], (size_t)size + making->padding}};
        server.events[made->first + i] = (struct event_record){.topic = '\0'};
    }
    if (making->own_id)
        (void)snprintf(made->id, sizeof(made->id), "longer-than-an-emitter-has-room-for-%u", server.number);
    made->events[made->count - 1].id = making->own_id ? sse_str(made->id) : sse_str(NULL);
    made->events[0].key = sse_str(making->key);
}

/* An event that was not published uses up no number. */
static void expect_next_id(const struct made *made, const char *assigned)
{
    char expected[SSE_ASSIGNED_ID_SIZE];

    (void)snprintf(expected, sizeof(expected), "E-%016x", ++server.retained);
    if (*made->id || !server.has_history)
        expected[0] = '\0';
    expect(!strcmp(assigned, expected), "not the id that comes next");
}

/* The id is in the last event of a message. */
static void note_id(const struct made *made, const char *assigned)
{
    struct event_id *id = &server.events[made->first + made->count - 1].id;

    size_t size = strlen(*made->id ? made->id : assigned);

    expect(size < sizeof(id->text), "an id that is too long");
    memcpy(id->text, *made->id ? made->id : assigned, size + 1);
}

/* Publishing */

/** The emitters that were open before a publish. */
struct receivers {
    bool covered[CLIENTS];
    size_t count;
};

static bool is_covered(const struct client *client, char topic)
{
    return client->emitter && client->options.registry == server.registry && client_is_open(client) &&
           (topic == ' ' || strchr(client->topics, topic));
}

static struct receivers find_receivers(char topic)
{
    struct receivers receivers = {.count = 0};

    for (size_t i = 0; i < CLIENTS; i++) {
        receivers.covered[i] = server.clients[i].used && is_covered(&server.clients[i], topic);
        receivers.count += receivers.covered[i];
    }
    return receivers;
}

static void offer(struct client *client, const struct made *made)
{
    for (unsigned i = 0; i < made->count; i++)
        numbers_add(client->paused ? &client->later : &client->offered, made->first + i);
}

/* The delivery gives the result of the event for each of them. */
static void note_published(const struct receivers *receivers, const struct made *made, char topic,
                           const struct sse_delivery *delivery)
{
    expect(delivery->receivers + delivery->dropped + delivery->ended == receivers->count,
           "a delivery that does not count every receiver");
    for (unsigned i = 0; i < made->count; i++)
        server.events[made->first + i].topic = topic;
    note_id(made, delivery->id);
    expect_next_id(made, delivery->id);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *client = &server.clients[i];

        if (!receivers->covered[i])
            continue;
        offer(client, made);
        if (!client_is_open(client))
            client->doubtful += made->count;
    }
}

static int publish_event(const struct made *made, char topic, struct sse_delivery *delivery)
{
    struct sse_text name = topic == ' ' ? sse_str(NULL) : (struct sse_text){.ptr = &topic, .len = 1};
    struct attempt attempt;
    int error;

    attempt_begin(&attempt, NULL);
    do
        error = sse_registry_publish(server.registry, name, &made->events[0], delivery);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    return error;
}

void step_publish(const struct making *making)
{
    static struct made made;
    struct sse_delivery delivery = {.receivers = 77};
    struct receivers receivers = find_receivers(making->topic);
    int error;

    make(&made, making);
    error = publish_event(&made, making->topic, &delivery);
    if (error)
        expect(delivery.receivers == 77, "an error changed the delivery");
    else
        note_published(&receivers, &made, making->topic, &delivery);
}

/* Returns a message, or NULL if there is no memory for it. */
static struct sse_message *new_message(const struct made *made)
{
    struct sse_message *message = NULL;
    struct attempt attempt;
    int error;

    attempt_begin(&attempt, NULL);
    do
        error = sse_message_new(&message, made->events, made->count, &server.fake.platform);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    expect(!error || !message, "an error and a message");
    return message;
}

void step_publish_message(const struct making *making)
{
    static struct made made;
    char topic = making->topic;
    struct sse_text name = topic == ' ' ? sse_str(NULL) : (struct sse_text){.ptr = &topic, .len = 1};
    struct sse_delivery delivery = {.receivers = 77};
    struct receivers receivers = find_receivers(topic);
    struct sse_message *message;
    struct attempt attempt;
    int error;

    make(&made, making);
    message = new_message(&made);
    if (!message)
        return;
    attempt_begin(&attempt, NULL);
    do
        error = sse_registry_publish_message(server.registry, name, message, &delivery);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    sse_message_unref(message);
    if (!error)
        note_published(&receivers, &made, topic, &delivery);
}

/* Sending */

static bool drops(const struct client *client)
{
    return client->options.overflow == SSE_OVERFLOW_DROP_NEWEST ||
           client->options.overflow == SSE_OVERFLOW_DROP_OLDEST;
}

/* Whether the call returned the error with which the emitter ended. */
static bool is_end_error(const struct client *client, int error)
{
    struct sse_emitter_info info = client_info(client);

    return error == info.error || error == -EIO;
}

/* Evaluates a send. While the emitter is paused, sent events come first. */
static void note_sent(struct client *client, const struct made *made, int error)
{
    bool ended = !client_is_open(client);

    if (error == -ENOBUFS)
        expect(!client->reads, "a full queue of a client that reads");
    if (ended && error)
        expect(is_end_error(client, error), "not the error of the end");
    if (error && !ended && !(error == -ENOBUFS && drops(client)))
        return;
    note_id(made, "");
    for (unsigned i = 0; i < made->count; i++)
        numbers_add(&client->offered, made->first + i);
    if (ended)
        client->doubtful += made->count;
}

/* Calls on an emitter without a loop do the due work. This does it before the call that may fail. */
static void begin_sending(struct attempt *attempt, const struct client *client)
{
    if (client->loop == NO_LOOP)
        (void)sse_emitter_flush(client->emitter);
    attempt_begin(attempt, client);
}

static bool is_settled(const struct client *client, int error)
{
    return !error || error == -ENOBUFS || !client_is_open(client);
}

void step_send(struct client *client, const struct making *making)
{
    static struct made made;
    struct attempt attempt;
    int error;

    if (!client_is_open(client))
        return;
    make(&made, making);
    begin_sending(&attempt, client);
    do
        error = sse_emitter_send(client->emitter, &made.events[0]);
    while (!is_settled(client, error) && attempt_is_to_be_repeated(&attempt, error, no_memory));
    note_sent(client, &made, error);
}

void step_send_message(struct client *client, const struct making *making)
{
    static struct made made;
    struct sse_message *message;
    struct attempt attempt;
    int error;

    if (!client_is_open(client))
        return;
    make(&made, making);
    message = new_message(&made);
    if (!message)
        return;
    begin_sending(&attempt, client);
    do
        error = sse_emitter_send_message(client->emitter, message);
    while (!is_settled(client, error) && attempt_is_to_be_repeated(&attempt, error, no_memory));
    sse_message_unref(message);
    note_sent(client, &made, error);
}

struct event_id newest_id(void)
{
    for (unsigned number = server.number; number > GAP_EVENT; number--)
        if (server.events[number].topic && *server.events[number].id.text)
            return server.events[number].id;
    return (struct event_id){.text = ""};
}

void publish(char topic)
{
    step_publish(&(struct making){.topic = topic});
}

void publish_own(char topic)
{
    step_publish(&(struct making){.topic = topic, .own_id = true});
}

void publish_large(char topic)
{
    step_publish(&(struct making){.topic = topic, .padding = 2000});
}

void send_to(struct client *client)
{
    step_send(client, &(struct making){.count = 1});
}

/* Shutting down */

/* Without memory for it, an emitter gets no final event. */
static void note_final_event(const struct receivers *receivers, const struct made *made, bool struck)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *client = &server.clients[i];

        if (!receivers->covered[i])
            continue;
        numbers_add(&client->offered, made->first);
        client->doubtful += struck;
        client->may_miss |= struck;
    }
}

int step_shutdown(void)
{
    static struct made made;
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &made.events[0],
                                                 .retry_min_ms = 1000,
                                                 .retry_max_ms = 2000,
                                                 .drain_ms = 60000};
    struct receivers receivers = find_receivers(' ');
    struct attempt attempt;
    bool struck = fault_has_struck();
    int error;

    make(&made, &(struct making){.topic = ' '});
    attempt_begin(&attempt, NULL);
    do
        error = sse_registry_shutdown(server.registry, &options);
    while (attempt_is_to_be_repeated(&attempt, error, no_memory));
    if (!error)
        note_final_event(&receivers, &made, fault_has_struck() && (!struck || fault_last()->for_good));
    return error;
}

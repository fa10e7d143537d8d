/* SPDX-License-Identifier: MIT */
#include "registry_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOPICS_MAX 16

const struct sse_text absent = {.ptr = NULL};
struct fake_platform platform;
struct fake_loop loop;
struct sse_registry *registry;
struct fake_client clients[CLIENTS];

int set_up(void **state)
{
    (void)state;
    fake_platform_init(&platform);
    fake_loop_open(&loop, &platform);
    memset(clients, 0, sizeof(clients));
    registry = NULL;
    use_registry((struct sse_registry_options){.history = {.events = 1000}, .id_prefix = sse_str("E")});
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    fake_loop_close(&loop);
    assert_int_equal(atomic_load(&platform.blocks), 0);
    return 0;
}

void use_registry(struct sse_registry_options options)
{
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    registry = NULL;
    options.size = sizeof(options);
    options.platform = &platform.platform;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

struct fake_client *prepare(size_t which, enum sse_output output)
{
    struct fake_client *client = &clients[which];

    if (client->emitter)
        fake_client_free(client);
    fake_client_init(client, &platform, output);
    client->loop = &loop;
    client->options.registry = registry;
    return client;
}

/* Each letter names a topic. */
static size_t split(struct sse_text *names, const char *topics)
{
    size_t number = strlen(topics);

    assert_true(number <= TOPICS_MAX);
    for (size_t i = 0; i < number; i++)
        names[i] = (struct sse_text){.ptr = topics + i, .len = 1};
    return number;
}

int join(struct fake_client *client, const char *topics, struct sse_text id)
{
    struct sse_text names[TOPICS_MAX];

    client->options.topics = names;
    client->options.topic_count = split(names, topics);
    client->options.last_event_id = id;
    return fake_client_try_open(client);
}

struct fake_client *enter(size_t which, const char *topics)
{
    struct fake_client *client = prepare(which, SSE_OUTPUT_CALLBACK);

    assert_int_equal(join(client, topics, absent), 0);
    (void)fake_loop_settle(&loop);
    fake_client_forget(client);
    return client;
}

int subscribe(struct fake_client *client, const char *topics, struct sse_text id, struct sse_replay *replay)
{
    struct sse_text names[TOPICS_MAX];
    size_t number = split(names, topics);

    return sse_registry_subscribe(registry, client->emitter, names, number, id, replay);
}

int unsubscribe(struct fake_client *client, const char *topics)
{
    struct sse_text names[TOPICS_MAX];
    size_t number = split(names, topics);

    return sse_registry_unsubscribe(registry, client->emitter, names, number);
}

void come_back(size_t which, const char *topics, struct sse_text id, enum sse_replay_outcome outcome,
               const char *text)
{
    struct fake_client *client = prepare(which, SSE_OUTPUT_CALLBACK);
    size_t messages = 0;

    assert_int_equal(join(client, topics, id), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(client->replay.outcome, outcome);
    assert_string_equal(fake_client_events(client), text);
    for (const char *at = text; (at = strstr(at, "\n\n")); at++)
        messages++;
    if (!strncmp(text, "event: gap\n", 11))
        messages--;
    assert_int_equal(client->replay.messages, messages);
}

struct sse_delivery publish_event(char topic, struct sse_event event)
{
    struct sse_text name = {.ptr = &topic, .len = 1};
    struct sse_delivery delivery;

    memset(&delivery, 0xa5, sizeof(delivery));
    assert_int_equal(sse_registry_publish(registry, topic == ' ' ? absent : name, &event, &delivery), 0);
    return delivery;
}

struct sse_delivery publish(char topic, const char *data)
{
    return publish_named(topic, data, NULL);
}

struct sse_delivery publish_named(char topic, const char *data, const char *id)
{
    struct sse_delivery delivery =
        publish_event(topic, (struct sse_event){.data = sse_str(data), .id = sse_str(id)});

    (void)fake_loop_settle(&loop);
    return delivery;
}

void expect_delivery(struct sse_delivery delivery, size_t receivers, size_t dropped, size_t ended)
{
    assert_int_equal(delivery.receivers, receivers);
    assert_int_equal(delivery.dropped, dropped);
    assert_int_equal(delivery.ended, ended);
}

int send_data(struct fake_client *client, const char *data)
{
    return sse_emitter_send(client->emitter, &(struct sse_event){.data = sse_str(data)});
}

size_t count(const char *topic)
{
    return sse_registry_count(registry, sse_str(topic));
}

struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result;

    memset(&result, 0xa5, sizeof(result));
    assert_int_equal(sse_registry_get_stats(registry, &result, sizeof(result)), 0);
    return result;
}

void advance_ms(uint64_t milliseconds)
{
    fake_platform_advance_ms(&platform, milliseconds);
    (void)fake_loop_settle(&loop);
}

void expect_end(const struct fake_client *client, enum sse_reason reason, int error)
{
    bool timed_out = reason == SSE_REASON_LIFETIME || reason == SSE_REASON_STALLED ||
                     reason == SSE_REASON_DRAIN_TIMEOUT || reason == SSE_REASON_NOT_STARTED;
    bool failed = reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR ||
                  reason == SSE_REASON_OVERFLOW || reason == SSE_REASON_ABORTED;

    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, reason);
    assert_int_equal(client->completion.error, error);
    assert_int_equal(client->timeouts, timed_out);
    assert_int_equal(client->errors, failed);
    assert_int_equal(client->error, failed ? error : 0);
    assert_int_equal(fake_client_info(client).state, SSE_STATE_CLOSED);
    assert_int_equal(fake_client_info(client).reason, reason);
    assert_int_equal(fake_client_info(client).error, error);
}

void expect_open(const struct fake_client *client)
{
    assert_int_equal(client->completions, 0);
    assert_int_equal(fake_client_info(client).state, SSE_STATE_OPEN);
}

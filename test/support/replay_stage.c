/* SPDX-License-Identifier: MIT */
#include "replay_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOPICS_MAX 8

const struct sse_str no_id = {.ptr = NULL};
struct fake_host host;
struct sse_registry *registry;
struct fake_client clients[CLIENTS];

int set_up(void **state)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &host.host, .history = {.events = 1000}, .epoch = sse_str("E")};

    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

void use_registry(struct sse_registry_options options)
{
    sse_registry_unref(registry);
    registry = NULL;
    options.size = sizeof(options);
    options.host = &host.host;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

struct fake_client *connect_client(size_t which)
{
    if (clients[which].emitter)
        fake_client_free(&clients[which]);
    fake_client_new(&clients[which], &host, SSE_DRAIN_CALLBACK);
    return &clients[which];
}

struct sse_delivery publish_event(char topic, struct sse_event event)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    const struct sse_str name = {.ptr = &topic, .len = 1};

    if (topic == ' ')
        assert_int_equal(sse_registry_broadcast(registry, &event, &delivery), 0);
    else
        assert_int_equal(sse_registry_publish(registry, name, &event, &delivery), 0);
    return delivery;
}

struct sse_delivery publish(char topic, const char *data)
{
    return publish_event(topic, (struct sse_event){.data = sse_str(data)});
}

struct sse_delivery publish_named(char topic, const char *data, const char *id)
{
    return publish_event(topic, (struct sse_event){.data = sse_str(data), .id = sse_str(id)});
}

int subscribe(struct fake_client *client, const char *topics, struct sse_str id, struct sse_replay *replay)
{
    struct sse_str names[TOPICS_MAX];
    size_t count = strlen(topics);

    assert_true(count <= TOPICS_MAX);
    for (size_t i = 0; i < count; i++)
        names[i] = (struct sse_str){.ptr = topics + i, .len = 1};
    return sse_registry_subscribe(registry, client->emitter, names, count, id, replay);
}

void come_back(size_t which, const char *topics, struct sse_str id, enum sse_replay_outcome outcome,
               const char *text)
{
    struct sse_replay replay = {.size = sizeof(replay)};
    struct fake_client *client = connect_client(which);
    size_t messages = 0;

    assert_int_equal(subscribe(client, topics, id, &replay), 0);
    assert_int_equal(replay.outcome, outcome);
    assert_string_equal(fake_client_text(client), text);
    for (const char *at = text; (at = strstr(at, "\n\n")); at++)
        messages++;
    assert_int_equal(replay.messages, messages);
}

struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result = {.size = sizeof(result)};

    assert_int_equal(sse_registry_stats(registry, &result), 0);
    return result;
}

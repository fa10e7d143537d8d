/* SPDX-License-Identifier: MIT */
/* Scenarios in which clients connect. */
#include "scenario.h"

#include <errno.h>

/* The system's random bits, which a registry without a prefix needs. */
static void make_registry(void)
{
    static struct sse_platform platform;
    const struct sse_registry_options options = {
        .size = sizeof(options), .platform = &platform, .history = {.events = 9}, .gap_type = sse_str("gap")};
    struct sse_registry *registry = NULL;

    platform = server.fake.platform;
    platform.random = NULL;
    if (step_new_registry(&registry, &options))
        expect(!registry, "an error and a registry");
    sse_registry_unref(registry);
}

static void make_loop(void)
{
    struct served_loop served = {.loop = NULL};

    if (step_new_loop(&served))
        expect(!served.loop, "an error and a loop");
    else
        server_close_loop(&served);
}

void play_create(void)
{
    make_registry();
    make_loop();
    join(0, CLIENT_SOCKET, 0, "a");
    join(1, CLIENT_PIPE, 0, "ab");
    join(2, CLIENT_FILE, 0, "abc");
    join(3, CLIENT_CALLBACK, 1, "d");
    join(4, CLIENT_PULL, 1, "");
    join(5, CLIENT_PULL, NO_LOOP, "a");
    join(6, CLIENT_SOCKET, NO_LOOP, "");
    join(7, CLIENT_CALLBACK, NO_LOOP, "");
    server_settle();
    for (size_t i = 0; i < CLIENTS; i++)
        step_close(&server.clients[i]);
    server_settle();
}

void play_replay(void)
{
    struct event_id first;
    struct client *member;

    publish_own('a');
    first = newest_id();
    publish('b');
    publish(' ');
    publish('a');
    publish_own('c');
    step_join(client_prepare(0, CLIENT_CALLBACK, 0), "ab", first.text);
    step_join(client_prepare(1, CLIENT_SOCKET, 0), "abc", first.text);
    step_join(client_prepare(2, CLIENT_PULL, 0), "a", "who");
    step_join(client_prepare(3, CLIENT_SOCKET, 1), "b", newest_id().text);
    join(4, CLIENT_SOCKET, 0, "z");
    server_settle();
    member = &server.clients[4];
    step_subscribe(member, "ab", first.text);
    step_subscribe(member, "c", "who");
    publish('a');
    publish_own(' ');
    server_settle();
    step_unsubscribe(member, "b");
    publish('b');
    server_settle();
}

static struct client *join_paused(size_t which, enum client_kind kind, const char *topics, const char *id)
{
    struct client *client = client_prepare(which, kind, 0);

    client->options.paused = true;
    client->options.retry_ms = 1000;
    step_join(client, topics, id);
    return client;
}

void play_paused(void)
{
    struct event_id first;
    struct client *plain, *known, *filled, *unfilled;

    publish('a');
    first = newest_id();
    publish('a');
    publish(' ');
    plain = join_paused(0, CLIENT_CALLBACK, "a", NULL);
    known = join_paused(1, CLIENT_SOCKET, "ab", first.text);
    filled = join_paused(2, CLIENT_PULL, "a", "who");
    unfilled = join_paused(3, CLIENT_SOCKET, "a", "who");
    for (int i = 0; i < 3; i++) {
        send_to(plain);
        step_send(known, &(struct making){.padding = 600});
        send_to(filled);
        publish('a');
    }
    server_settle();
    step_start(plain, false);
    step_start(known, true);
    step_start(filled, true);
    step_start(unfilled, false);
    publish('a');
    send_to(known);
    server_settle();
    /* The other emitters are never started. */
    step_complete(join_paused(4, CLIENT_SOCKET, "a", first.text));
    step_close(join_paused(5, CLIENT_SOCKET, "a", NULL));
    server_settle();
}

static const struct sse_http_header fields[] = {{{"X-Field", 7}, {"value", 5}}};
static const struct sse_http_options chunked = {
    .size = sizeof(chunked), .chunked = true, .headers = fields, .header_count = 1, .cors_origin = {"*", 1}};
static const struct sse_http_options plain_head = {.size = sizeof(plain_head), .version = SSE_HTTP_1_0};

static struct client *join_http(size_t which, enum client_kind kind, int loop,
                                const struct sse_http_options *http, const char *last_event_id)
{
    struct client *client = client_prepare(which, kind, loop);

    client->options.http = http;
    client->options.retry_ms = 2500;
    step_join(client, "", last_event_id);
    return client;
}

static void check_refusal(int error)
{
    char response[512];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, NULL, 7);

    expect(size > 0 && (size_t)size <= sizeof(response), "no response for an error");
}

void play_http(void)
{
    static const struct sse_http_options invalid = {.size = sizeof(invalid), .cors_credentials = true};
    struct client *client;

    client = join_http(0, CLIENT_SOCKET, 0, &chunked, NULL);
    if (!client->used)
        check_refusal(-ENOMEM);
    /* Without a history every id is a gap. */
    (void)join_http(1, CLIENT_SOCKET, 0, &plain_head, "who");
    (void)join_http(2, CLIENT_CALLBACK, 1, &chunked, NULL);
    (void)join_http(3, CLIENT_PULL, 1, &plain_head, "who");
    (void)join_http(4, CLIENT_SOCKET, NO_LOOP, &chunked, NULL);
    client = client_prepare(5, CLIENT_SOCKET, 0);
    client->options.http = &invalid;
    step_join_refused(client, "a", -EINVAL);
    if (sse_registry_count(server.registry, sse_str(NULL)) == 4)
        step_join_refused(client_prepare(5, CLIENT_SOCKET, 0), "a", -EAGAIN);
    server_settle();
    publish(' ');
    send_to(&server.clients[4]);
    server_settle();
}

/* The newest of each topic stay. */
void play_caps(void)
{
    join(0, CLIENT_SOCKET, 0, "a");
    join(1, CLIENT_SOCKET, 0, "ab");
    join(2, CLIENT_PULL, 0, "a");
    publish('a');
    join(3, CLIENT_CALLBACK, 1, "b");
    join(4, CLIENT_SOCKET, 1, "b");
    publish(' ');
    step_subscribe(&server.clients[2], "b", NULL);
    publish('b');
    server_settle();
}

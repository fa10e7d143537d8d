/* SPDX-License-Identifier: MIT */
/* Scenarios about events. */
#include "scenario.h"

static void read_all(bool reads)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (server.clients[i].used)
            client_read(&server.clients[i], reads);
}

void play_publish(void)
{
    join(0, CLIENT_SOCKET, 0, "a");
    join(1, CLIENT_CALLBACK, 0, "ab");
    join(2, CLIENT_PULL, 0, "b");
    join(3, CLIENT_SOCKET, 1, "ab");
    join(4, CLIENT_SOCKET, 1, "");
    join(5, CLIENT_PULL, 1, "a");
    publish('a');
    publish(' ');
    server_settle();
    read_all(false);
    for (int i = 0; i < 3; i++) {
        publish('b');
        publish_own(' ');
        step_publish(&(struct making){.topic = 'a', .padding = 300});
    }
    step_visit_each(' ');
    step_visit_each('b');
    read_all(true);
    server_settle();
    step_complete_topic('b');
    publish(' ');
    server_settle();
}

void play_messages(void)
{
    join(0, CLIENT_SOCKET, 0, "a");
    join(1, CLIENT_PULL, 0, "a");
    join(2, CLIENT_SOCKET, NO_LOOP, "");
    join(3, CLIENT_CALLBACK, NO_LOOP, "");
    step_publish_message(&(struct making){.topic = 'a', .count = 3});
    step_publish_message(&(struct making){.topic = ' ', .own_id = true});
    step_publish_message(&(struct making){.topic = 'a', .padding = 900, .key = "k"});
    server_settle();
    for (size_t i = 0; i < 4; i++) {
        server.clients[i].room = 5;
        send_to(&server.clients[i]);
        step_send(&server.clients[i], &(struct making){.own_id = true});
        step_send(&server.clients[i], &(struct making){.padding = 900, .own_id = true});
        step_send_message(&server.clients[i], &(struct making){.count = 4});
        step_send_message(&server.clients[i], &(struct making){.own_id = true});
        step_ping(&server.clients[i]);
    }
    server_settle();
}

static void join_full(size_t which, enum client_kind kind, int loop, enum sse_overflow overflow)
{
    struct client *client = client_prepare(which, kind, loop);

    client->options.queue_messages = 3;
    client->options.overflow = overflow;
    client->may_end = 1u << SSE_REASON_OVERFLOW;
    client->may_miss = overflow != SSE_OVERFLOW_END;
    step_join(client, loop == NO_LOOP ? "" : "a", NULL);
}

static void publish_key(const char *key, unsigned padding)
{
    step_publish(&(struct making){.topic = 'a', .key = key, .padding = padding});
}

/* Each policy, with sockets that are full after a few events, and outputs that accept nothing. */
void play_overflow(void)
{
    static const char *const keys[] = {"x", "y", "x", NULL, "y", "z", "x", "x"};

    join_full(0, CLIENT_CALLBACK, 0, SSE_OVERFLOW_COALESCE);
    join_full(1, CLIENT_PULL, 0, SSE_OVERFLOW_DROP_OLDEST);
    join_full(2, CLIENT_SOCKET, 0, SSE_OVERFLOW_DROP_NEWEST);
    join_full(3, CLIENT_SOCKET, 0, SSE_OVERFLOW_COALESCE);
    join_full(4, CLIENT_CALLBACK, 1, SSE_OVERFLOW_END);
    join_full(5, CLIENT_SOCKET, NO_LOOP, SSE_OVERFLOW_DROP_OLDEST);
    server_settle();
    read_all(false);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        publish_key(keys[i], 2000);
        if (i % 3 == 2)
            server_settle();
        step_send(&server.clients[5], &(struct making){.padding = 2000});
    }
    for (size_t i = 0; i < CLIENTS; i++)
        if (server.clients[i].used)
            step_send(&server.clients[i], &(struct making){.key = "x"});
    read_all(true);
    server_settle();
    publish_key("x", 0);
    server_settle();
}

/* The emitters with the most queued bytes end. */
void play_budget(void)
{
    static const enum client_kind kinds[] = {CLIENT_CALLBACK, CLIENT_PULL, CLIENT_SOCKET, CLIENT_CALLBACK};

    for (size_t i = 0; i < 4; i++) {
        join(i, kinds[i], (int)i % 2, i % 2 ? "a" : "ab");
        server.clients[i].may_end = 1u << SSE_REASON_OVERFLOW;
    }
    server_settle();
    read_all(false);
    for (int i = 0; i < 6; i++) {
        publish_large('a');
        publish('b');
        if (i % 2)
            server_settle();
    }
    read_all(true);
    server_settle();
    publish(' ');
    server_settle();
}

/* More events than are retained, with ids of both kinds. An assigned id is recognised even if its event is lost. */
void play_history(void)
{
    struct event_id early, late = {.text = ""};

    publish('a');
    early = newest_id();
    for (int i = 0; i < 6; i++) {
        if (i == 4)
            late = newest_id();
        if (i % 2)
            publish('a');
        else
            publish_own('a');
    }
    step_join(client_prepare(0, CLIENT_SOCKET, 0), "a", early.text);
    step_join(client_prepare(1, CLIENT_PULL, 0), "a", late.text);
    step_join(client_prepare(2, CLIENT_CALLBACK, 0), "a", newest_id().text);
    for (size_t i = 3; i < 5; i++) {
        client_prepare(i, CLIENT_SOCKET, 0)->options.paused = true;
        step_join(&server.clients[i], "a", early.text);
    }
    join(5, CLIENT_SOCKET, 0, "z");
    step_subscribe(&server.clients[5], "a", early.text);
    publish_own('a');
    step_start(&server.clients[3], true);
    step_start(&server.clients[4], false);
    server_settle();
}

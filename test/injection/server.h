/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_SERVER_H
#define INJECTION_SERVER_H

/**
 * The server of a scenario: a registry, loops, and clients. One thread does everything, and the clock moves only
 * when a scenario moves it.
 */

#include "client.h"
#include "fake_platform.h"

#include <sse/loop.h>
#include <sse/registry.h>

#define LOOPS 2
#define CLIENTS 8
#define EVENTS_MAX 600

enum loop_kind { LOOP_DRIVEN, LOOP_POLL, LOOP_EPOLL, LOOP_KINDS };

struct served_loop {
    struct sse_loop *loop; /* NULL: not there */
    int fd;                /* of a polled loop that has one, or -1 */
    bool woken;
    bool inside;       /* a turn */
    uint64_t deadline; /* driven: of the next turn */
};

struct event_id {
    char text[64]; /* "": none */
};

/** A published event. Its number is its data. */
struct event_record {
    struct event_id id;
    char topic; /* the topic it was published to; a space: everyone; NUL: it was sent to one client */
};

/* The number of the gap event. */
#define GAP_EVENT 0

struct server {
    const char *scenario;
    enum loop_kind kind;
    struct fake_platform fake;
    struct sse_registry *registry;
    bool tells_gap;
    bool has_history;
    bool loses_history; /* a replay may contain fewer events than were published */
    struct served_loop loops[LOOPS];
    struct client clients[CLIENTS];
    struct event_record events[EVENTS_MAX];
    unsigned number;        /* of the last event */
    unsigned retained;      /* how many events have a place in the history */
    unsigned long progress; /* increases with every byte received and every callback */
};

extern struct server server;

/** Fails the test, with a description of the situation. */
void expect(bool holds, const char *what);

/** Whether the library was built with it. */
bool loop_kind_exists(enum loop_kind kind);

void server_open(const char *scenario, enum loop_kind kind, const struct sse_registry_options *registry);
/** Frees everything, and checks that no memory and no descriptor is left. The clients must have ended. */
void server_close(void);

/** Makes a loop. Returns 0, or the result of sse_loop_new or sse_loop_fd. On an error there is no loop. */
int server_open_loop(struct served_loop *served);
void server_close_loop(struct served_loop *served);

/** Replaces the registry by one that the scenario made. */
void server_use_registry(struct sse_registry *registry);

/** Lets loops and clients work until nothing happens any more. */
void server_settle(void);

void server_advance_ms(uint64_t milliseconds);

/** The values that a failing call must not change: of all clients together, and of one. */
struct picture {
    struct sse_registry_stats stats;
    size_t emitters[LOOPS];
    unsigned long progress;
    const struct client *client; /* NULL: none */
    struct sse_emitter_info info;
};

void picture_take(struct picture *picture, const struct client *client);
bool picture_is_unchanged(const struct picture *before);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SERVING_H
#define BENCH_SERVING_H

/**
 * What the bench server and the limit server have in common, so that they differ in nothing but what is
 * measured: accept, requests, and the pace of publishing, in one thread around epoll.
 *
 *   GET /events                                        a stream
 *   GET /events?awaited=no                             one for which nothing that is published waits
 *   GET /start?n=K&size=S&rate=R&burst=B&topic=per-client   204; then K events to each stream
 *
 * The data of an event are 19 digits of CLOCK_MONOTONIC in nanoseconds, no two events of one run alike, and
 * filler up to `size`: the letter x. rate 0 is flat out: the next burst as soon as nothing waits any more
 * that is awaited.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMP_DIGITS 19
#define BURST_MAX 64

struct connection {
    void *stream; /* the service's own */
    int fd;
    unsigned position; /* among the streams */
    bool streaming;
    bool awaited; /* flat out, nothing is published while this one is blocked */
    bool blocked; /* the socket is to be announced when it has room */
    bool ended;   /* to be closed, or being closed */
};

/** What GET /start asks for. */
struct assignment {
    unsigned long events;
    unsigned long size; /* of the data */
    unsigned long rate; /* bursts a second; 0: flat out */
    unsigned long burst;
    bool per_client;
};

struct service {
    /** Answers GET /events with head and stream. 0, or an error. */
    int (*open)(struct connection *connection);
    void (*close)(struct connection *connection);
    /** The socket has room again. */
    void (*writable)(struct connection *connection);
    /** Sends one burst of `count` events to every stream. */
    void (*publish)(const struct assignment *assignment, size_t count);
};

/** Runs until SIGTERM; prints the port first. Returns the status of the program. */
int serve(const struct service *service);

/** The streams at present. */
struct connection **serving_streams(size_t *count);

/** Asks for the socket to be announced when it has room, or no longer. While one that is awaited is asked
 *  for, nothing is published flat out. */
void serving_want_room(struct connection *connection, bool wanted);

/** The stream is over: the connection is closed once the service has returned. */
void serving_close_later(struct connection *connection);

/** Fills `data` with the stamp of now and with filler. */
void serving_stamp(char *data, size_t size);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SERVING_H
#define BENCH_SERVING_H

/**
 * The common part of the bench server and the limit server: accept, requests, and the pace of publishing, in one
 * thread around epoll. So the servers differ only in what is measured.
 *
 *   GET /events                                        a stream
 *   GET /events?awaited=no                             one for which nothing that is published waits
 *   GET /start?n=K&size=S&rate=R&burst=B&topic=per-client   204; then K events to each stream
 *
 * The data of an event are 19 digits of CLOCK_MONOTONIC in nanoseconds, different for each event of a run, and the
 * letter x as filler up to `size`. rate 0 is flat out: the next burst comes as soon as all awaited connections have
 * written everything.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMP_DIGITS 19
#define BURST_MAX 64

struct connection {
    void *stream; /* data of the service */
    int fd;
    unsigned position; /* its index among the streams */
    bool streaming;
    bool awaited; /* flat out, nothing is published while this one is full */
    bool blocked; /* the service waits for room in the socket */
    bool ended;   /* it will be closed, or is being closed */
};

/** The parameters of GET /start. */
struct assignment {
    unsigned long events;
    unsigned long size; /* of the data */
    unsigned long rate; /* bursts a second; 0: flat out */
    unsigned long burst;
    bool per_client;
};

struct service {
    /** Answers GET /events with head and stream. Returns 0, or an error. */
    int (*open)(struct connection *connection);
    void (*close)(struct connection *connection);
    /** The socket has room again. */
    void (*writable)(struct connection *connection);
    /** Sends one burst of `count` events to every stream. */
    void (*publish)(const struct assignment *assignment, size_t count);
};

/** Prints the port and runs until SIGTERM. Returns the status of the program. */
int serve(const struct service *service);

/** Returns the number of streams. */
struct connection **serving_streams(size_t *count);

/** Starts or stops waiting for room in the socket. While an awaited connection waits, nothing is published flat
 *  out. */
void serving_want_room(struct connection *connection, bool wanted);

/** The stream has ended. The connection is closed once the service has returned. */
void serving_close_later(struct connection *connection);

/** Fills `data` with the stamp of now and with filler. */
void serving_stamp(char *data, size_t size);

#endif

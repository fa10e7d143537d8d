/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_NGHTTP2_SERVER_H
#define HOSTS_NGHTTP2_SERVER_H

/** Connections of HTTP/2 over cleartext, in a poll loop: nothing here knows of streams of events. */

#include "service.h"

#include <nghttp2/nghttp2.h>

struct request;

struct connection {
    struct connection *next;
    struct server *server;
    nghttp2_session *session;
    struct request *requests;
    int64_t active_ms;  /**< when there was a request the last time */
    int64_t written_ms; /**< when nothing was left to write, or some of it was written */
    int fd;
};

struct server {
    struct service service;
    struct sse_loop *streams;
    nghttp2_session_callbacks *callbacks; /**< yours; open_server adds the one that sends */
    struct connection *connections;
    size_t count;
    struct pollfd *polled;
    int wake[2];
    int listener;
    int64_t pause_end_ms; /**< until then nothing is accepted */
};

/** Yours: the connection of this request is closed. It takes the request out of `requests`. */
void forget(struct request *request);

/** Yours: resets the requests whose time is up. Returns whether there are requests. */
bool limit_requests(struct connection *connection, int64_t now_ms);

/** Makes what wake needs. False: it could not. */
bool make_wake(struct server *server);
/** Makes wait_and_receive return. Any thread may call it. */
void wake(void *server);

/** Listens on the loopback interface. False, with errno: it could not. */
bool open_server(struct server *server, int port);
/** Sends what can be sent, waits for `timeout_ms` at most, and reads what has come. */
void wait_and_receive(struct server *server, int timeout_ms);
/** Sends the last frames, as far as the clients read them, and closes every connection. */
void say_goodbye(struct server *server);
void close_server(struct server *server);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_NGHTTP2_SERVER_H
#define HOSTS_NGHTTP2_SERVER_H

/** Connections of HTTP/2 over cleartext, in a poll loop. This part does not know about event streams. */

#include "service.h"

#include <nghttp2/nghttp2.h>

struct request;

struct connection {
    struct connection *next;
    struct server *server;
    nghttp2_session *session;
    struct request *requests;
    int64_t active_ms;  /**< when it last had a request */
    int64_t written_ms; /**< when bytes were last written, or none were left to write */
    int fd;
};

struct server {
    struct service service;
    struct sse_loop *streams;
    nghttp2_session_callbacks *callbacks; /**< yours; open_server adds the send callback */
    struct connection *connections;
    size_t count;
    struct pollfd *polled;
    int wake[2];
    int listener;
    int64_t pause_end_ms; /**< nothing is accepted before this time */
};

/** You write this: the connection of this request is closed. It removes the request from `requests`. */
void forget(struct request *request);

/** You write this: it resets the requests whose time limit has passed. Returns whether requests are left. */
bool limit_requests(struct connection *connection, int64_t now_ms);

/** Makes the pipe for wake. Returns false on failure. */
bool make_wake(struct server *server);
/** Makes wait_and_receive return. Any thread may call it. */
void wake(void *server);

/** Listens on the loopback interface. Returns false, with errno, on failure. */
bool open_server(struct server *server, int port);
/** Writes, waits for `timeout_ms` at most, and reads. */
void wait_and_receive(struct server *server, int timeout_ms);
/** Sends the last frames, as far as the clients accept them, and closes every connection. */
void say_goodbye(struct server *server);
void close_server(struct server *server);

#endif

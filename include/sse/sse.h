/* SPDX-License-Identifier: MIT */
#ifndef SSE_SSE_H
#define SSE_SSE_H

/**
 * sse-emitter: Server-Sent Events for HTTP servers written in C.
 *
 * The way of one event, and the header of each step:
 *
 *     event -> message -> emitter (queue, flush, sink)
 *                            ^
 *                         registry (topics, publish, broadcast)
 *                            ^
 *                         loop (poll or epoll, for hosts that have none)
 *
 * The library opens no sockets, starts no threads, installs no signal handlers, reads no
 * environment and has no mutable global state. Its objects are for the process that made them: see
 * <sse/base.h>.
 */

#include <sse/base.h>
#include <sse/emitter.h>
#include <sse/event.h>
#include <sse/host.h>
#include <sse/http.h>
#include <sse/loop.h>
#include <sse/message.h>
#include <sse/registry.h>

#endif

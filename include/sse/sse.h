/* SPDX-License-Identifier: MIT */
#ifndef SSE_SSE_H
#define SSE_SSE_H

/**
 * sse-emitter: Server-Sent Events for HTTP servers written in C.
 *
 * Four objects:
 *
 *     message     one or more events, checked, encoded once and shared
 *     emitter     the stream of one client: a bounded queue, an output, timers, exactly one end
 *     registry    decides which emitters get an event: topics, one order, a history
 *     loop        writes, and runs timers and callbacks, for its emitters in one thread
 *
 * Most servers need no other functions than these:
 *
 * - at the beginning: sse_registry_new, sse_loop_new, sse_loop_run
 * - for each client: sse_http_last_event_id, sse_emitter_new, sse_http_refuse, sse_emitter_close
 * - for events: sse_registry_publish, sse_emitter_send, sse_emitter_complete
 * - at the end: sse_registry_shutdown, sse_registry_wait, sse_loop_stop, sse_loop_free, sse_registry_unref
 *
 * The library opens no listening sockets, starts no threads, installs no signal handlers and reads no
 * environment. Its only global state that changes is a count of forks.
 */

#include <sse/base.h>
#include <sse/emitter.h>
#include <sse/event.h>
#include <sse/http.h>
#include <sse/loop.h>
#include <sse/message.h>
#include <sse/platform.h>
#include <sse/registry.h>

#endif

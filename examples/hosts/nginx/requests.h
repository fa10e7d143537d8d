/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_REQUESTS_H
#define NGX_SSE_REQUESTS_H

/** The two requests that the module answers. Content handlers: they return what such a handler does. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <sse/sse.h>

/** GET, with the query parameter `topic`, perhaps repeated: a stream. `options` says what belongs to no
 * request: the registry, the loop, the heartbeat. */
ngx_int_t ngx_sse_serve_events(ngx_http_request_t *request, struct sse_emitter_options options);

/** POST, with the query parameter `topic`: the body becomes the data of an event, 202. The registry must live
 * as long as the request. */
ngx_int_t ngx_sse_serve_publish(ngx_http_request_t *request, struct sse_registry *registry);

/** The most bytes that are queued for a stream, and so the largest event. */
#define NGX_SSE_QUEUE_BYTES ((size_t)1 << 20)

#endif

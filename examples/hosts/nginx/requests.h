/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_REQUESTS_H
#define NGX_SSE_REQUESTS_H

/** The two requests that the module answers. These are content handlers and return their results. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "worker.h"

/** GET, with the query parameter `topic`, perhaps repeated: a stream. `heartbeat_ms` as in its options. */
ngx_int_t ngx_sse_serve_events(struct ngx_sse_worker *worker, ngx_http_request_t *request,
                               int64_t heartbeat_ms);

/** POST, with the query parameter `topic`: the body becomes the data of an event, 202. */
ngx_int_t ngx_sse_serve_publish(struct ngx_sse_worker *worker, ngx_http_request_t *request);

/** The most bytes that are queued for a stream, and so the largest event. */
#define NGX_SSE_QUEUE_BYTES ((size_t)1 << 20)

#endif

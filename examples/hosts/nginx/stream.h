/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_STREAM_H
#define NGX_SSE_STREAM_H

/** An emitter whose bytes are the response to a request. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "worker.h"

/**
 * Answers a request with a stream of this worker. `options` says what else the emitter is: topics, timers.
 *
 * Returns what sse_emitter_new returned; on an error nothing was sent. Otherwise `*result` is what the
 * content handler returns.
 */
int ngx_sse_open_stream(const struct ngx_sse_worker *worker, ngx_http_request_t *request,
                        struct sse_emitter_options options, ngx_int_t *result);

/** Sets the status and the header fields of a stream. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_sse_set_head(ngx_http_request_t *request);

#endif

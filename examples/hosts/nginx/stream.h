/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_STREAM_H
#define NGX_SSE_STREAM_H

/** An emitter that writes the response to a request. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "worker.h"

/**
 * Answers a request with a stream of this worker. Set topics and timers in `options`.
 *
 * Returns the result of sse_emitter_new. On an error nothing was sent. On success your content handler must return
 * `*result`.
 */
int ngx_sse_open_stream(struct ngx_sse_worker *worker, ngx_http_request_t *request,
                        struct sse_emitter_options options, ngx_int_t *result);

/** Sets the status and the header fields of a stream. Returns NGX_OK or NGX_ERROR. */
ngx_int_t ngx_sse_set_head(ngx_http_request_t *request);

#endif

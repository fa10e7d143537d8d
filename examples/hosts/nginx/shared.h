/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_SHARED_H
#define NGX_SSE_SHARED_H

/** The difference for workers that share a ring: see examples/workers/ring.h. */

#include "worker.h"

/** From now on, the ring's events are published to the worker's registry. `ring` NULL: does nothing. Returns NGX_OK,
 *  without a place in the ring too, or NGX_ERROR. */
ngx_int_t ngx_sse_open_reader(struct ngx_sse_worker *worker, struct ring *ring);
/** A second call does nothing. */
void ngx_sse_close_reader(struct ngx_sse_worker *worker);

/** As sse_emitter_new, for this worker's registry and loop. -EAGAIN as well without a place in the ring. */
int ngx_sse_new_emitter(struct ngx_sse_worker *worker, struct sse_emitter **emitter,
                        struct sse_emitter_options *options);

/** As sse_registry_publish, to the streams of all workers that share the ring. */
int ngx_sse_publish(const struct ngx_sse_worker *worker, struct sse_text topic,
                    const struct sse_event *event);

#endif

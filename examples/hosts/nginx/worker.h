/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_WORKER_H
#define NGX_SSE_WORKER_H

/** The state of one nginx worker process: a registry, and a driven loop inside nginx's event loop. With a ring, the
 *  worker also gets the events of the other workers. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <sse/sse.h>

struct ring;
struct ring_reader;

struct ngx_sse_worker {
    struct sse_registry *registry;
    struct sse_loop *loop;
    ngx_connection_t *wake; /**< an eventfd; nginx also uses it to report that the worker quits */
    struct ring *ring;      /**< NULL: the workers share nothing */
    struct ring_reader *reader;
    ngx_connection_t *news; /**< the reader's descriptor */
    bool is_quitting;
};

/** Call it in the worker process when it starts. `ring` may be NULL. After NGX_ERROR nothing was made. */
ngx_int_t ngx_sse_open_worker(struct ngx_sse_worker *worker, const struct sse_registry_options *options,
                              struct ring *ring, ngx_cycle_t *cycle);

/** Call it in the worker process before it exits. It aborts the streams that are left. */
void ngx_sse_close_worker(struct ngx_sse_worker *worker);

#endif

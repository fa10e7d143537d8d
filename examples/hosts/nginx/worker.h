/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_WORKER_H
#define NGX_SSE_WORKER_H

/** What a worker process of nginx has: a registry, and a driven loop inside nginx's own event loop. With a
 * ring, which the workers share, it has the events of all of them. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <sse/sse.h>

struct ring;
struct ring_reader;

struct ngx_sse_worker {
    struct sse_registry *registry;
    struct sse_loop *loop;
    ngx_connection_t *wake; /**< an eventfd; nginx also uses it to say that the worker is to quit */
    struct ring *ring;      /**< NULL: it shares nothing */
    struct ring_reader *reader;
    ngx_connection_t *news; /**< the reader's descriptor */
    bool is_quitting;
};

/** In the worker process, when it starts. `ring` may be NULL. NGX_ERROR: nothing was made. */
ngx_int_t ngx_sse_open_worker(struct ngx_sse_worker *worker, const struct sse_registry_options *options,
                              struct ring *ring, ngx_cycle_t *cycle);

/** In the worker process, before it exits. Streams that are left are broken off. */
void ngx_sse_close_worker(struct ngx_sse_worker *worker);

#endif

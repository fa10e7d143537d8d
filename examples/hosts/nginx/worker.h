/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_WORKER_H
#define NGX_SSE_WORKER_H

/** What a worker process of nginx has: a registry, and a driven loop inside nginx's own event loop. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <sse/sse.h>

struct ngx_sse_worker {
    struct sse_registry *registry;
    struct sse_loop *loop;
    ngx_connection_t *wake; /**< an eventfd; nginx also uses it to say that the worker is to quit */
    bool is_quitting;
};

/** In the worker process, when it starts. NGX_ERROR: nothing was made. */
ngx_int_t ngx_sse_open_worker(struct ngx_sse_worker *worker, const struct sse_registry_options *options,
                              ngx_cycle_t *cycle);

/** In the worker process, before it exits. Streams that are left are broken off. */
void ngx_sse_close_worker(struct ngx_sse_worker *worker);

#endif

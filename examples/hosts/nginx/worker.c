/* SPDX-License-Identifier: MIT */
#include "worker.h"
#include "shared.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define DRAIN_MS 5000
/* While the worker quits: how long nginx may take to close a connection whose stream has ended. */
#define CHECK_MS 100

/* Any thread and, with a ring, any process: so not ngx_post_event. ngx_notify would not do either: it has one
 * handler for the whole worker, which is the thread pool's. */
static void on_wake(struct sse_loop *loop, void *user)
{
    const struct ngx_sse_worker *worker = user;
    const uint64_t one = 1;
    ssize_t written = write(worker->wake->fd, &one, sizeof(one));

    (void)loop;
    /* A counter that is full wakes as well. */
    (void)written;
}

/* A worker that quits exits as soon as there is no timer: until every stream has ended there is one. */
static void serve(struct ngx_sse_worker *worker)
{
    ngx_event_t *event = worker->wake->read;
    int wait = sse_loop_turn(worker->loop);

    if (!wait) {
        ngx_post_event(event, &ngx_posted_next_events);
    }
    if (wait <= 0 && worker->is_quitting && sse_loop_count(worker->loop))
        wait = CHECK_MS;
    /* Set anew: nginx leaves a timer as it is that would move by less than 300 ms. */
    if (event->timer_set)
        ngx_del_timer(event);
    if (wait > 0)
        ngx_add_timer(event, (ngx_msec_t)wait);
}

static void end_streams(struct ngx_sse_worker *worker)
{
    const struct sse_event final_event = {.type = sse_str("final"), .data = sse_str("")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 500,
                                                 .retry_max_ms = 2000,
                                                 .drain_ms = DRAIN_MS};

    worker->is_quitting = !sse_registry_shutdown(worker->registry, &options);
}

/* The eventfd is readable, the time is over, work was left, or the worker is to quit. */
static void on_event(ngx_event_t *event)
{
    ngx_connection_t *wake = event->data;
    uint64_t count;
    ssize_t size = read(wake->fd, &count, sizeof(count));

    (void)size;
    event->timedout = 0;
    if (wake->close && !((struct ngx_sse_worker *)wake->data)->is_quitting)
        end_streams(wake->data);
    serve(wake->data);
}

static ngx_int_t open_wake(struct ngx_sse_worker *worker, ngx_cycle_t *cycle)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    worker->wake = fd < 0 ? NULL : ngx_get_connection(fd, cycle->log);
    if (!worker->wake) {
        if (fd >= 0)
            (void)close(fd);
        return NGX_ERROR;
    }
    worker->wake->data = worker;
    worker->wake->read->handler = on_event;
    worker->wake->read->log = cycle->log;
    worker->wake->write->log = cycle->log;
    /* A worker that is to quit calls the handlers of idle connections. */
    worker->wake->idle = 1;
    return ngx_handle_read_event(worker->wake->read, 0);
}

ngx_int_t ngx_sse_open_worker(struct ngx_sse_worker *worker, const struct sse_registry_options *options,
                              struct ring *ring, ngx_cycle_t *cycle)
{
    const struct sse_loop_options loop = {.size = sizeof(loop), .on_wake = on_wake, .user = worker};

    ngx_memzero(worker, sizeof(*worker));
    if (open_wake(worker, cycle) == NGX_OK && !sse_loop_new(&worker->loop, &loop) &&
        !sse_registry_new(&worker->registry, options) && ngx_sse_open_reader(worker, ring, cycle) == NGX_OK)
        return NGX_OK;
    ngx_sse_close_worker(worker);
    return NGX_ERROR;
}

void ngx_sse_close_worker(struct ngx_sse_worker *worker)
{
    sse_loop_free(worker->loop);
    ngx_sse_close_reader(worker);
    sse_registry_unref(worker->registry);
    if (worker->wake)
        ngx_close_connection(worker->wake);
    ngx_memzero(worker, sizeof(*worker));
}

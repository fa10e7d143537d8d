/* SPDX-License-Identifier: MIT */
#include "worker.h"
#include "shared.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define DRAIN_MS 5000
/* How often a quitting worker checks whether nginx has closed the connections whose streams have ended. */
#define CHECK_MS 100

/* Runs in any thread and, with a ring, for any process, so ngx_post_event is not possible. ngx_notify is not
 * possible either: each worker has one handler for it, and the thread pool uses it. */
static void on_wake(struct sse_loop *loop, void *user)
{
    const struct ngx_sse_worker *worker = user;
    const uint64_t one = 1;
    ssize_t written = write(worker->wake->fd, &one, sizeof(one));

    (void)loop;
    /* If the counter is full, the descriptor is readable anyway. */
    (void)written;
}

/* A quitting worker exits as soon as it has no timer, so there is a timer until every stream has ended. */
static void serve(struct ngx_sse_worker *worker)
{
    ngx_event_t *event = worker->wake->read;
    int wait = sse_loop_turn(worker->loop);

    if (!wait) {
        ngx_post_event(event, &ngx_posted_next_events);
    }
    /* Other requests may keep this worker for hours, and the new ones need its place in the ring. */
    if (worker->is_quitting && !sse_loop_count(worker->loop))
        ngx_sse_close_reader(worker);
    if (wait <= 0 && worker->is_quitting && sse_loop_count(worker->loop))
        wait = CHECK_MS;
    /* Removes the timer first, because nginx does not move a timer by less than 300 ms. */
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

/* The eventfd is readable, the timer has expired, work was left, or the worker is quitting. */
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
    /* nginx calls the handlers of idle connections when the worker quits. */
    worker->wake->idle = 1;
    return ngx_handle_read_event(worker->wake->read, 0);
}

ngx_int_t ngx_sse_open_worker(struct ngx_sse_worker *worker, const struct sse_registry_options *options,
                              struct ring *ring, ngx_cycle_t *cycle)
{
    const struct sse_loop_options loop = {.size = sizeof(loop), .on_wake = on_wake, .user = worker};

    ngx_memzero(worker, sizeof(*worker));
    if (open_wake(worker, cycle) == NGX_OK && !sse_loop_new(&worker->loop, &loop) &&
        !sse_registry_new(&worker->registry, options) && ngx_sse_open_reader(worker, ring) == NGX_OK)
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

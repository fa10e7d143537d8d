/* SPDX-License-Identifier: MIT */
#include "shared.h"

#include "../../workers/ring_reader.h"

#define AGAIN_MS 100

/* Serves other requests first, and the rest of the events after them. */
static void on_news(ngx_event_t *event)
{
    const ngx_connection_t *news = event->data;
    const struct ngx_sse_worker *worker = news->data;
    int result = ring_reader_drain(worker->reader);

    event->timedout = 0;
    if (result > 0) {
        ngx_post_event(event, &ngx_posted_next_events);
    } else if (result < 0) {
        ngx_add_timer(event, AGAIN_MS);
    }
}

static ngx_int_t wait_for_news(struct ngx_sse_worker *worker)
{
    ngx_log_t *log = ngx_cycle->log;

    worker->news = ngx_get_connection(ring_reader_fd(worker->reader), log);
    if (!worker->news)
        return NGX_ERROR;
    worker->news->data = worker;
    /* nginx must not close the descriptor: it belongs to the reader. */
    worker->news->shared = 1;
    worker->news->read->handler = on_news;
    worker->news->read->log = log;
    worker->news->write->log = log;
    return ngx_handle_read_event(worker->news->read, 0);
}

/* Returns 0 or a negative errno. */
static int open_reader(struct ngx_sse_worker *worker)
{
    const struct ring_reader_options options = {.ring = worker->ring, .registry = worker->registry};
    int error = ring_reader_open(&worker->reader, &options);

    if (error || wait_for_news(worker) == NGX_OK)
        return error;
    ngx_sse_close_reader(worker);
    return -ENOMEM;
}

/* If init_process of a module fails, nginx never starts this worker again. So a worker without a place in the ring
 * serves everything but streams, and asks for a place again when a client wants one. */
ngx_int_t ngx_sse_open_reader(struct ngx_sse_worker *worker, struct ring *ring)
{
    int error;

    worker->ring = ring;
    error = ring ? open_reader(worker) : 0;
    if (!error)
        return NGX_OK;
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, -error,
                  error == -EAGAIN ? "sse: no place in the ring is free, so this worker cannot serve streams yet"
                                   : "sse: this worker cannot read the ring");
    return error == -EAGAIN ? NGX_OK : NGX_ERROR;
}

/* The descriptor stays open, because it belongs to the ring. So nginx must not wait for it any more. */
void ngx_sse_close_reader(struct ngx_sse_worker *worker)
{
    if (worker->news && worker->news->read->active)
        ngx_del_event(worker->news->read, NGX_READ_EVENT, 0);
    if (worker->news)
        ngx_close_connection(worker->news);
    worker->news = NULL;
    ring_reader_close(worker->reader);
    worker->reader = NULL;
}

int ngx_sse_new_emitter(struct ngx_sse_worker *worker, struct sse_emitter **emitter,
                        struct sse_emitter_options *options)
{
    int error = 0;

    options->registry = worker->registry;
    options->loop = worker->loop;
    if (!worker->ring || worker->is_quitting)
        return sse_emitter_new(emitter, options, NULL);
    if (!worker->reader)
        error = open_reader(worker);
    return error ? error : ring_reader_stream(worker->reader, emitter, options);
}

int ngx_sse_publish(const struct ngx_sse_worker *worker, struct sse_text topic, const struct sse_event *event)
{
    return worker->ring ? ring_publish(worker->ring, topic, event, NULL)
                        : sse_registry_publish(worker->registry, topic, event, NULL);
}

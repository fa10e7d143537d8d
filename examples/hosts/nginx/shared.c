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

ngx_int_t ngx_sse_open_reader(struct ngx_sse_worker *worker, struct ring *ring, ngx_cycle_t *cycle)
{
    const struct ring_reader_options options = {.ring = ring, .registry = worker->registry};

    if (!ring)
        return NGX_OK;
    if (ring_reader_open(&worker->reader, &options))
        return NGX_ERROR;
    worker->ring = ring;
    worker->news = ngx_get_connection(ring_reader_fd(worker->reader), cycle->log);
    if (!worker->news)
        return NGX_ERROR;
    worker->news->data = worker;
    /* nginx must not close the descriptor: it belongs to the reader. */
    worker->news->shared = 1;
    worker->news->read->handler = on_news;
    worker->news->read->log = cycle->log;
    worker->news->write->log = cycle->log;
    return ngx_handle_read_event(worker->news->read, 0);
}

void ngx_sse_close_reader(struct ngx_sse_worker *worker)
{
    if (worker->news)
        ngx_close_connection(worker->news);
    ring_reader_close(worker->reader);
}

int ngx_sse_new_emitter(const struct ngx_sse_worker *worker, struct sse_emitter **emitter,
                        struct sse_emitter_options *options)
{
    options->registry = worker->registry;
    options->loop = worker->loop;
    return worker->reader ? ring_reader_stream(worker->reader, emitter, options)
                          : sse_emitter_new(emitter, options, NULL);
}

int ngx_sse_publish(const struct ngx_sse_worker *worker, struct sse_text topic, const struct sse_event *event)
{
    return worker->ring ? ring_publish(worker->ring, topic, event, NULL)
                        : sse_registry_publish(worker->registry, topic, event, NULL);
}

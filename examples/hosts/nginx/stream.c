/* SPDX-License-Identifier: MIT */
#include "stream.h"
#include "module.h"
#include "shared.h"

#include "../socket.h"

#include <stdlib.h>

#define HEADERS 8
#define CHUNK_PIECES 16
/* A slow client must accept each chunk within stall_ms. */
#define CHUNK_SIZE ((size_t)64 << 10)

struct stream {
    struct sse_emitter *emitter;
    ngx_http_request_t *request; /* NULL once nginx has ended the request */
    ngx_chain_t *free;
    ngx_chain_t *busy;
    size_t writing; /* bytes that were passed to nginx, and are consumed when nginx has written them */
    bool is_waiting;
};

/* -- bytes ---------------------------------------------------------------------------------- */

static void end_request(struct stream *stream, ngx_int_t result)
{
    ngx_connection_t *connection = stream->request->connection;

    ngx_http_finalize_request(stream->request, result);
    ngx_http_run_posted_requests(connection);
}

static ngx_buf_tag_t tag(void)
{
    return (ngx_buf_tag_t)&ngx_http_sse_module;
}

static ngx_chain_t *make_link(struct stream *stream, u_char *bytes, size_t size)
{
    ngx_chain_t *link = ngx_chain_get_free_buf(stream->request->pool, &stream->free);

    if (!link)
        return NULL;
    link->next = NULL;
    link->buf->tag = tag();
    link->buf->memory = 1;
    link->buf->flush = 0;
    link->buf->start = link->buf->pos = bytes;
    link->buf->end = link->buf->last = bytes + size;
    return link;
}

/* The bytes are not copied: they stay in the emitter. */
static ngx_chain_t *make_chain(struct stream *stream, const struct iovec *shown, int count)
{
    ngx_chain_t *first = NULL, **next = &first;
    ngx_buf_t *last = NULL;

    stream->writing = 0;
    for (int i = 0; i < count && stream->writing < CHUNK_SIZE; i++) {
        const size_t room = CHUNK_SIZE - stream->writing;
        const size_t size = shown[i].iov_len < room ? shown[i].iov_len : room;

        *next = make_link(stream, shown[i].iov_base, size);
        if (!*next)
            return NULL;
        stream->writing += size;
        last = (*next)->buf;
        next = &(*next)->next;
    }
    /* Without it nginx would wait for more bytes. */
    last->flush = 1;
    return first;
}

/* Handles nginx's answer to bytes. With NGX_AGAIN nginx has accepted all of them and still reads them where they
 * are, so they must not be passed again. Returns false if nothing more can be written now. */
static bool is_written(struct stream *stream, ngx_chain_t *given, ngx_int_t result)
{
    ngx_chain_update_chains(stream->request->pool, &stream->free, &stream->busy, &given, tag());
    stream->is_waiting = result == NGX_AGAIN;
    if (result == NGX_OK)
        (void)sse_emitter_consume(stream->emitter, stream->writing);
    else if (result != NGX_AGAIN || ngx_handle_write_event(stream->request->connection->write, 0) != NGX_OK)
        end_request(stream, NGX_ERROR);
    return result == NGX_OK;
}

static void write_more(struct stream *stream)
{
    struct iovec shown[CHUNK_PIECES];
    ngx_chain_t *chain;
    ngx_int_t result;
    int count;

    do {
        count = sse_emitter_peek(stream->emitter, shown, CHUNK_PIECES);
        if (count == SSE_ENDED)
            end_request(stream, ngx_http_send_special(stream->request, NGX_HTTP_LAST));
        if (count <= 0)
            return;
        chain = make_chain(stream, shown, count);
        result = chain ? ngx_http_output_filter(stream->request, chain) : NGX_ERROR;
    } while (is_written(stream, chain, result));
}

static void on_writable(ngx_http_request_t *request)
{
    struct stream *stream = ngx_http_get_module_ctx(request, ngx_http_sse_module);
    ngx_event_t *event = request->connection->write;

    if (!stream->is_waiting || event->delayed) {
        if (ngx_handle_write_event(event, 0) != NGX_OK)
            end_request(stream, NGX_ERROR);
        return;
    }
    if (is_written(stream, NULL, ngx_http_output_filter(request, NULL)))
        write_more(stream);
}

/* -- beginning and end ---------------------------------------------------------------------- */

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct stream *stream = user;

    (void)emitter, (void)what;
    if (stream->request)
        write_more(stream);
}

/* A client that reads nothing would not learn otherwise that its stream has ended. */
static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0, "sse ended: reason %d (%s), %uL events",
                  completion->reason, sse_reason_name(completion->reason), completion->events);
    if (stream->request && completion->error)
        end_request(stream, NGX_ERROR);
}

/* nginx ends the request: the client has disconnected, or the response is complete. */
static void leave(void *data)
{
    struct stream *stream = data;

    stream->request = NULL;
    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
}

/* Closes only now, because HTTP/2 frames with the emitter's bytes may outlive the request. */
static void let_go(void *data)
{
    struct stream *stream = data;

    sse_emitter_close(stream->emitter);
}

static ngx_int_t add_header(ngx_http_request_t *request, const struct sse_http_header *header)
{
    const ngx_str_t name = {header->name.len, (u_char *)header->name.ptr};
    const ngx_str_t value = {header->value.len, (u_char *)header->value.ptr};
    ngx_table_elt_t *field;

    if (!strcmp(header->name.ptr, "content-type")) {
        request->headers_out.content_type = value;
        request->headers_out.content_type_len = value.len;
        return NGX_OK;
    }
    field = ngx_list_push(&request->headers_out.headers);
    if (!field)
        return NGX_ERROR;
    *field = (ngx_table_elt_t){.hash = 1, .key = name, .value = value};
    /* nginx does not compress a response that has this field. */
    if (!strcmp(header->name.ptr, "content-encoding"))
        request->headers_out.content_encoding = field;
    return NGX_OK;
}

ngx_int_t ngx_sse_set_head(ngx_http_request_t *request)
{
    struct sse_http_header headers[HEADERS];
    ssize_t count = sse_http_headers(headers, HEADERS, NULL);

    request->headers_out.status = NGX_HTTP_OK;
    /* Otherwise nginx answers with 304 or 412 if the request has a condition. */
    request->disable_not_modified = 1;
    for (ssize_t i = 0; i < count; i++)
        if (add_header(request, &headers[i]) != NGX_OK)
            return NGX_ERROR;
    return NGX_OK;
}

/* on_ready sends the first bytes in the loop's next turn, and the head with them. */
static ngx_int_t begin(struct stream *stream)
{
    ngx_http_request_t *request = stream->request;
    ngx_int_t result = ngx_sse_set_head(request);

    if (result == NGX_OK)
        result = ngx_http_send_header(request);
    /* A filter that answers with another status has also removed our context of the request. */
    if (result == NGX_ERROR || result > NGX_OK || request->header_only || request->filter_finalize) {
        leave(stream);
        return result;
    }
    socket_set_options(request->connection->fd);
    request->main->count++;
    request->read_event_handler = ngx_http_test_reading;
    request->write_event_handler = on_writable;
    /* A disconnect in the meantime is not reported again, so check for it once. */
    ngx_post_event(request->connection->read, &ngx_posted_events);
    return NGX_DONE;
}

int ngx_sse_open_stream(struct ngx_sse_worker *worker, ngx_http_request_t *request,
                        struct sse_emitter_options options, ngx_int_t *result)
{
    ngx_http_cleanup_t *leaving = ngx_http_cleanup_add(request, 0);
    ngx_pool_cleanup_t *letting_go = ngx_pool_cleanup_add(request->pool, 0);
    struct stream *stream = calloc(1, sizeof(*stream));
    int error;

    if (!leaving || !letting_go || !stream) {
        free(stream);
        return -ENOMEM;
    }
    stream->request = request;
    options.output = SSE_OUTPUT_PULL;
    options.on_ready = on_ready;
    options.on_completion = on_completion;
    options.on_release = free;
    options.user = stream;
    error = ngx_sse_new_emitter(worker, &stream->emitter, &options);
    if (error) {
        free(stream);
        return error;
    }
    ngx_http_set_ctx(request, stream, ngx_http_sse_module);
    *leaving = (ngx_http_cleanup_t){.handler = leave, .data = stream, .next = leaving->next};
    *letting_go = (ngx_pool_cleanup_t){.handler = let_go, .data = stream, .next = letting_go->next};
    *result = begin(stream);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "requests.h"
#include "module.h"
#include "shared.h"
#include "stream.h"

#include "../../origin.h"

#define TOPICS_MAX 16
#define BODY_MS 20000
/* An event and its assigned id must fit into a client's queue. */
#define EVENT_SIZE_MAX (NGX_SSE_QUEUE_BYTES - SSE_ASSIGNED_ID_SIZE - sizeof("id: "))

struct topics {
    struct sse_text texts[TOPICS_MAX];
    char bytes[TOPICS_MAX][SSE_TOPIC_SIZE_MAX];
};

static struct sse_text text_of(ngx_str_t string)
{
    return (struct sse_text){(const char *)string.data, string.len};
}

static bool is_named(const ngx_table_elt_t *field, const char *name)
{
    return field->key.len == strlen(name) && !ngx_strncasecmp(field->key.data, (u_char *)name, strlen(name));
}

/* Returns false if the field occurs twice. */
static bool read_header(const ngx_http_request_t *request, const char *name, struct sse_text *value)
{
    *value = sse_str(NULL);
    for (const ngx_list_part_t *part = &request->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *fields = part->elts;

        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (!is_named(&fields[i], name))
                continue;
            if (value->ptr)
                return false;
            *value = text_of(fields[i].value);
        }
    }
    return true;
}

/* Returns false for a request that a browser sends for a page of another site. */
static bool may_act(const ngx_http_request_t *request)
{
    const struct origin_rules *rules = ngx_http_get_module_srv_conf(request, ngx_http_sse_module);
    struct origin_request page;

    return read_header(request, "Host", &page.host) && read_header(request, "Origin", &page.origin) &&
           read_header(request, "Sec-Fetch-Site", &page.fetch_site) && !origin_refusal(rules, &page);
}

/* -- answers -------------------------------------------------------------------------------- */

static ngx_int_t refuse_method(ngx_http_request_t *request, const char *allowed)
{
    ngx_table_elt_t *allow = ngx_list_push(&request->headers_out.headers);

    if (!allow)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    *allow = (ngx_table_elt_t){
        .hash = 1, .key = ngx_string("Allow"), .value = {strlen(allowed), (u_char *)allowed}};
    return NGX_HTTP_NOT_ALLOWED;
}

static ngx_int_t accept_event(ngx_http_request_t *request)
{
    request->headers_out.status = NGX_HTTP_ACCEPTED;
    request->headers_out.content_length_n = 0;
    request->header_only = 1;
    return ngx_http_send_header(request);
}

/* EventSource closes for good at an error status, so a client that may try again gets a reconnection time
 * instead. */
static ngx_int_t refuse_stream(ngx_http_request_t *request, int error)
{
    struct sse_http_refusal refusal = {.status = NGX_HTTP_INTERNAL_SERVER_ERROR};
    ngx_chain_t chain = {.buf = NULL};
    ngx_int_t result;

    (void)sse_http_get_refusal(&refusal, error, (uint64_t)ngx_random() << 32 | (uint64_t)ngx_random());
    if (!refusal.event_stream)
        return refusal.status;
    chain.buf = ngx_create_temp_buf(request->pool, refusal.body_size);
    if (!chain.buf || ngx_sse_set_head(request) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    chain.buf->last = ngx_cpymem(chain.buf->pos, refusal.body, refusal.body_size);
    chain.buf->last_buf = 1;
    request->headers_out.content_length_n = (off_t)refusal.body_size;
    result = ngx_http_send_header(request);
    if (result == NGX_ERROR || result > NGX_OK || request->header_only)
        return result;
    return ngx_http_output_filter(request, &chain);
}

/* -- GET of a stream ------------------------------------------------------------------------ */

/* Returns the number of topics, or 0 if there are none or too many, or one cannot be decoded. */
static size_t read_topics(struct topics *topics, struct sse_text query)
{
    for (size_t count = 0; count <= TOPICS_MAX; count++) {
        char room[SSE_TOPIC_SIZE_MAX];
        ssize_t size = sse_http_parameter(query, "topic", count, room, sizeof(room));

        if (size == -ENOENT)
            return count;
        if (size < 1 || size > SSE_TOPIC_SIZE_MAX || count == TOPICS_MAX)
            return 0;
        memcpy(topics->bytes[count], room, (size_t)size);
        topics->texts[count] = (struct sse_text){topics->bytes[count], (size_t)size};
    }
    return 0;
}

static ngx_int_t answer_head(ngx_http_request_t *request)
{
    return ngx_sse_set_head(request) == NGX_OK ? ngx_http_send_header(request)
                                               : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

ngx_int_t ngx_sse_serve_events(struct ngx_sse_worker *worker, ngx_http_request_t *request,
                               int64_t heartbeat_ms)
{
    struct sse_emitter_options options = {
        .size = sizeof(options), .queue_bytes = NGX_SSE_QUEUE_BYTES, .heartbeat_ms = heartbeat_ms};
    const struct sse_text query = text_of(request->args);
    char id[SSE_ID_SIZE_MAX + 1];
    struct sse_text last_event_id;
    struct topics topics;
    ngx_int_t result;
    ssize_t size;
    int error;

    if (!(request->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)))
        return refuse_method(request, "GET, HEAD");
    if (!may_act(request))
        return NGX_HTTP_FORBIDDEN;
    result = ngx_http_discard_request_body(request);
    if (result != NGX_OK)
        return result;
    options.topics = topics.texts;
    options.topic_count = read_topics(&topics, query);
    if (!options.topic_count)
        return NGX_HTTP_BAD_REQUEST;
    if (request->method == NGX_HTTP_HEAD)
        return answer_head(request);
    if (!read_header(request, "Last-Event-ID", &last_event_id))
        return NGX_HTTP_BAD_REQUEST;
    size = sse_http_last_event_id(last_event_id, query, id, sizeof(id));
    options.last_event_id = (struct sse_text){id, size > 0 ? (size_t)size : 0};
    error = ngx_sse_open_stream(worker, request, options, &result);
    return error ? refuse_stream(request, error) : result;
}

/* -- POST of an event ----------------------------------------------------------------------- */

/* Returns the body in one piece, or NULL without memory or if its file cannot be read. */
static u_char *read_body(ngx_http_request_t *request, size_t *size)
{
    ngx_chain_t *const first = request->request_body ? request->request_body->bufs : NULL;
    u_char *body, *end;

    *size = 0;
    for (ngx_chain_t *link = first; link; link = link->next)
        *size += (size_t)ngx_buf_size(link->buf);
    body = ngx_pnalloc(request->pool, *size + 1);
    end = body;
    for (ngx_chain_t *link = first; link && end; link = link->next) {
        ngx_buf_t *piece = link->buf;
        const size_t length = (size_t)ngx_buf_size(piece);

        /* The buffer of an empty body is neither in memory nor in a file. */
        if (ngx_buf_in_memory(piece))
            memcpy(end, piece->pos, length);
        else if (piece->in_file &&
                 ngx_read_file(piece->file, end, length, piece->file_pos) != (ssize_t)length)
            return NULL;
        end += length;
    }
    return body;
}

static ngx_int_t publish(const struct ngx_sse_worker *worker, ngx_http_request_t *request)
{
    char topic[SSE_TOPIC_SIZE_MAX];
    ssize_t topic_size = sse_http_parameter(text_of(request->args), "topic", 0, topic, sizeof(topic));
    struct sse_event event = {.data = sse_str("")};
    ssize_t encoded;
    int error;

    event.data.ptr = (const char *)read_body(request, &event.data.len);
    if (!event.data.ptr)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    encoded = sse_event_encode(&event, NULL, 0);
    if (topic_size < 1 || topic_size > SSE_TOPIC_SIZE_MAX || encoded < 0)
        return NGX_HTTP_BAD_REQUEST;
    /* An event that does not fit would end every stream of its topic. */
    if ((size_t)encoded > EVENT_SIZE_MAX)
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    error = ngx_sse_publish(worker, (struct sse_text){topic, (size_t)topic_size}, &event);
    if (error == -EMSGSIZE)
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    return error ? NGX_HTTP_SERVICE_UNAVAILABLE : accept_event(request);
}

/* client_body_timeout counts from the last byte. */
struct posting {
    const struct ngx_sse_worker *worker;
    ngx_event_t timer; /* for the whole body */
};

static void stop_timer(void *data)
{
    struct posting *posting = data;

    if (posting->timer.timer_set)
        ngx_del_timer(&posting->timer);
}

static void on_time(ngx_event_t *event)
{
    ngx_http_request_t *request = event->data;
    ngx_connection_t *connection = request->connection;

    ngx_log_error(NGX_LOG_INFO, connection->log, NGX_ETIMEDOUT, "sse: the time of a body is up");
    connection->timedout = 1;
    ngx_http_finalize_request(request, NGX_HTTP_REQUEST_TIME_OUT);
    ngx_http_run_posted_requests(connection);
}

static struct posting *begin_posting(const struct ngx_sse_worker *worker, ngx_http_request_t *request)
{
    struct posting *posting = ngx_pcalloc(request->pool, sizeof(*posting));
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(request, 0);

    if (!posting || !cleanup)
        return NULL;
    posting->worker = worker;
    posting->timer.handler = on_time;
    posting->timer.data = request;
    posting->timer.log = request->connection->log;
    cleanup->handler = stop_timer;
    cleanup->data = posting;
    ngx_add_timer(&posting->timer, BODY_MS);
    return posting;
}

static void on_body(ngx_http_request_t *request)
{
    struct posting *posting = ngx_http_get_module_ctx(request, ngx_http_sse_module);

    stop_timer(posting);
    ngx_http_finalize_request(request, publish(posting->worker, request));
}

ngx_int_t ngx_sse_serve_publish(struct ngx_sse_worker *worker, ngx_http_request_t *request)
{
    struct posting *posting;
    ngx_int_t result;

    if (request->method != NGX_HTTP_POST)
        return refuse_method(request, "POST");
    if (!may_act(request))
        return NGX_HTTP_FORBIDDEN;
    posting = begin_posting(worker, request);
    if (!posting)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_http_set_ctx(request, posting, ngx_http_sse_module);
    result = ngx_http_read_client_request_body(request, on_body);
    return result >= NGX_HTTP_SPECIAL_RESPONSE ? result : NGX_DONE;
}

/* SPDX-License-Identifier: MIT */
/*
 * nghttp2 in a poll loop, HTTP/2 over cleartext: output PULL in a driven loop. nghttp2 reads from an emitter when
 * the client's window and the socket have room. All connections and their streams share one thread.
 */
#include "nghttp2_server.h"

#include <stdio.h>
#include <stdlib.h>

/* -- the adapter ---------------------------------------------------------------------------- */

struct stream {
    struct sse_emitter *emitter;
    nghttp2_session *session; /* NULL once the stream is closed */
    int32_t id;
};

/* nghttp2 calls it only while the client's window and the socket have room, so nghttp2 queues little. */
static ssize_t read_stream(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    const struct stream *stream = source->ptr;
    ssize_t result = sse_emitter_read(stream->emitter, buffer, size);

    (void)session, (void)id, (void)user;
    if (result > 0)
        return result;
    if (!result)
        return NGHTTP2_ERR_DEFERRED;
    if (result != SSE_ENDED)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return 0;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    const struct stream *stream = user;

    (void)emitter, (void)what;
    (void)nghttp2_session_resume_data(stream->session, stream->id);
}

/* A stream with a closed window is not read, so without the reset its client would not learn that it has ended. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    const struct stream *stream = user;

    (void)emitter;
    service_report(completion);
    if (stream->session && completion->error)
        (void)nghttp2_submit_rst_stream(stream->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
}

/* nghttp2 has closed the stream. */
static void close_stream(struct stream *stream)
{
    stream->session = NULL;
    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
    sse_emitter_close(stream->emitter);
}

static int open_stream(struct stream **opened, struct sse_emitter_options options, nghttp2_session *session,
                       int32_t id)
{
    struct stream *stream = malloc(sizeof(*stream));
    int error;

    if (!stream)
        return -ENOMEM;
    *stream = (struct stream){.session = session, .id = id};
    options.output = SSE_OUTPUT_PULL;
    options.on_ready = on_ready;
    options.on_completion = end_stream;
    options.on_release = free;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options, NULL);
    if (error)
        free(stream);
    else
        *opened = stream;
    return error;
}

/* -- the server ----------------------------------------------------------------------------- */

/* The time limit for a request to arrive, and for its answer to be read. */
#define REQUEST_MS 10000

enum { METHOD, PATH, AUTHORITY, HOST, ORIGIN, FETCH_SITE, LAST_EVENT_ID, EXPECT, FIELDS };

static const char *const field_names[FIELDS] = {":method", ":path",          ":authority",    "host",
                                                "origin",  "sec-fetch-site", "last-event-id", "expect"};

struct request {
    struct request *next;
    struct request **link;
    struct stream *stream;
    struct sse_http_refusal refusal;
    int32_t id;
    bool answered;
    int64_t end_ms; /* 0: it is a stream or has been reset */
    char *fields[FIELDS];
    struct service_query query;
    struct body body;
    atomic_size_t *bodies;
};

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static int answer(nghttp2_session *session, int32_t id, int status)
{
    char text[] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10), 0};
    const nghttp2_nv field = header(":status", text);

    return nghttp2_submit_response(session, id, &field, 1, NULL);
}

static ssize_t read_refusal(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    const struct sse_http_refusal *refusal = source->ptr;

    (void)session, (void)id, (void)user;
    if (size < refusal->body_size)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    memcpy(buffer, refusal->body, refusal->body_size);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)refusal->body_size;
}

static int refuse(nghttp2_session *session, struct request *request, int32_t id, int error)
{
    const nghttp2_nv fields[] = {header(":status", "200"), header("content-type", "text/event-stream")};
    const nghttp2_data_provider provider = {.source.ptr = &request->refusal, .read_callback = read_refusal};

    request->refusal = service_refusal(error);
    if (!request->refusal.event_stream)
        return answer(session, id, request->refusal.status);
    return nghttp2_submit_response(session, id, fields, 2, &provider);
}

/* Returns how many fields there are. */
static size_t fill_head(nghttp2_nv fields[SERVICE_HEADERS + 1])
{
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    fields[0] = header(":status", "200");
    for (ssize_t i = 0; i < count; i++)
        fields[i + 1] = header(headers[i].name.ptr, headers[i].value.ptr);
    return (size_t)count + 1;
}

static int answer_with_stream(struct connection *connection, struct request *request, int32_t id,
                              const struct service_query *query)
{
    struct sse_emitter_options options = service_emitter_options(&connection->server->service, query);
    nghttp2_data_provider provider = {.read_callback = read_stream};
    nghttp2_nv fields[SERVICE_HEADERS + 1];
    int error;

    options.loop = connection->server->streams;
    error = open_stream(&request->stream, options, connection->session, id);
    if (error)
        return refuse(connection->session, request, id, error);
    request->end_ms = 0;
    provider.source.ptr = request->stream;
    return nghttp2_submit_response(connection->session, id, fields, fill_head(fields), &provider);
}

static int refuse_method(nghttp2_session *session, const struct request *request, int32_t id)
{
    const nghttp2_nv fields[] = {header(":status", "405"),
                                 header("allow", service_allow(405, sse_str(request->fields[PATH])))};

    return nghttp2_submit_response(session, id, fields, 2, NULL);
}

static int answer_with_head(nghttp2_session *session, int32_t id)
{
    nghttp2_nv fields[SERVICE_HEADERS + 1];

    return nghttp2_submit_response(session, id, fields, fill_head(fields), NULL);
}

static int publish(struct connection *connection, struct request *request, int32_t id)
{
    request->answered = true;
    return answer(connection->session, id,
                  service_publish(&connection->server->service, &request->query, &request->body));
}

static int route(const struct service *service, struct request *request)
{
    char *const *fields = request->fields;
    const size_t size = fields[PATH] ? strcspn(fields[PATH], "?") : 0;
    const struct origin_request page = {.host = sse_str(fields[AUTHORITY] ? fields[AUTHORITY] : fields[HOST]),
                                        .origin = sse_str(fields[ORIGIN]),
                                        .fetch_site = sse_str(fields[FETCH_SITE])};

    if (!fields[PATH] || !fields[METHOD])
        return 400;
    service_read_query(&request->query, sse_str(fields[PATH][size] ? fields[PATH] + size + 1 : NULL),
                       sse_str(fields[LAST_EVENT_ID]));
    return service_route(service, sse_str(fields[METHOD]), (struct sse_text){fields[PATH], size}, &page);
}

/* The request's header is complete. A body may follow. */
static int handle(struct connection *connection, struct request *request, int32_t id)
{
    const nghttp2_nv go_on = header(":status", "100");
    int status = route(&connection->server->service, request);

    if (status == SERVICE_PUBLISH)
        return request->fields[EXPECT]
                   ? nghttp2_submit_headers(connection->session, NGHTTP2_FLAG_NONE, id, NULL, &go_on, 1, NULL)
                   : 0;
    request->answered = true;
    if (status == SERVICE_STREAM)
        return answer_with_stream(connection, request, id, &request->query);
    if (status == SERVICE_HEAD)
        return answer_with_head(connection->session, id);
    if (status == 405)
        return refuse_method(connection->session, request, id);
    return answer(connection->session, id, status);
}

bool limit_requests(struct connection *connection, int64_t now_ms)
{
    for (struct request *request = connection->requests; request; request = request->next) {
        if (!request->end_ms || now_ms < request->end_ms)
            continue;
        request->end_ms = 0;
        (void)nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, request->id, NGHTTP2_CANCEL);
    }
    return connection->requests;
}

static void free_fields(struct request *request)
{
    for (size_t i = 0; i < FIELDS; i++) {
        free(request->fields[i]);
        request->fields[i] = NULL;
    }
}

void forget(struct request *request)
{
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
    if (request->stream)
        close_stream(request->stream);
    free_fields(request);
    body_free(&request->body, request->bodies);
    free(request);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct connection *connection = user;
    struct request *request;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    request = calloc(1, sizeof(*request));
    if (!request)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    request->bodies = &connection->server->service.bodies;
    request->id = frame->hd.stream_id;
    request->end_ms = service_now_ms() + REQUEST_MS;
    request->link = &connection->requests;
    request->next = connection->requests;
    if (request->next)
        request->next->link = &request->next;
    connection->requests = request;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, request);
}

/* Refuses a needed field that occurs twice. Those behind a body are ignored. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t size, uint8_t flags, void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    size_t field = 0;

    (void)name_size, (void)flags, (void)user;
    while (field < FIELDS && strcmp((const char *)name, field_names[field]))
        field++;
    if (!request || field == FIELDS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (request->fields[field])
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    request->fields[field] = strndup((const char *)value, size);
    return request->fields[field] ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, id);
    int status;

    (void)flags, (void)user;
    if (!request || request->answered)
        return 0;
    status = body_append(&request->body, request->bodies, data, size);
    if (!status)
        return 0;
    request->answered = true;
    return answer(session, id, status);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    int result = 0;

    if (!request || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        result = handle(user, request, frame->hd.stream_id);
        /* A client can repeat a long field with one byte, in as many streams as it may have. */
        free_fields(request);
    }
    if (!result && !request->answered && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        result = publish(user, request, frame->hd.stream_id);
    return result;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, id);

    (void)error, (void)user;
    if (request)
        forget(request);
    return 0;
}

static void on_wake(struct sse_loop *streams, void *user)
{
    (void)streams;
    wake(user);
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks))
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    return callbacks;
}

int main(int argc, char **argv)
{
    struct server server = {.callbacks = make_callbacks()};
    const struct sse_loop_options options = {.size = sizeof(options), .on_wake = on_wake, .user = &server};

    if (!server.callbacks || !make_wake(&server) || sse_loop_new(&server.streams, &options))
        return 1;
    service_open(&server.service, argc, argv, wake, &server);
    if (!open_server(&server, server.service.port)) {
        perror("listen");
        return 1;
    }
    while (!service_is_over(&server.service))
        wait_and_receive(&server, sse_loop_turn(server.streams));
    say_goodbye(&server);
    service_close(&server.service);
    sse_loop_free(server.streams);
    close_server(&server);
    nghttp2_session_callbacks_del(server.callbacks);
    return 0;
}

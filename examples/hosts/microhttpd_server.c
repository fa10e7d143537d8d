/* SPDX-License-Identifier: MIT */
#include "microhttpd_server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The time limit for a client that neither sends nor reads. */
#define IDLE_SECONDS 10u

struct request {
    struct service *service;
    char *target;
    struct body body;
    int status;     /* the result of service_route, or the status to refuse it with */
    int64_t end_ms; /* when its body must be complete */
    bool has_begun;
};

/* `allow` may be NULL. */
static enum MHD_Result answer(struct MHD_Connection *connection, int status, const char *allow)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    if (allow)
        MHD_add_response_header(response, "Allow", allow);
    result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, int error)
{
    struct sse_http_refusal refusal = service_refusal(error);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(refusal.body_size, refusal.body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    if (refusal.event_stream)
        MHD_add_response_header(response, "Content-Type", "text/event-stream");
    result = MHD_queue_response(connection, (unsigned)refusal.status, response);
    MHD_destroy_response(response);
    return result;
}

static void add_headers(struct MHD_Response *response)
{
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    for (ssize_t i = 0; i < count; i++)
        MHD_add_response_header(response, headers[i].name.ptr, headers[i].value.ptr);
}

static ssize_t read_nothing(void *user, uint64_t position, char *buffer, size_t size)
{
    (void)user, (void)position, (void)buffer, (void)size;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result answer_with_head(struct MHD_Connection *connection)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, read_nothing, NULL, NULL);
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    /* Without this header, version 0.9.75 sends the last chunk of a body although there is no body. */
    MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
    add_headers(response);
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_with_stream(struct server *server, struct MHD_Connection *connection,
                                          const struct service_query *query)
{
    struct sse_emitter_options options = service_emitter_options(&server->service, query);
    struct MHD_Response *response;
    enum MHD_Result result;
    int error;

    options.loop = server->streams;
    error = open_stream(&response, options, connection);
    if (error)
        return refuse(connection, error);
    add_headers(response);
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static struct sse_text header(struct MHD_Connection *connection, const char *name)
{
    return sse_str(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name));
}

static enum MHD_Result count_length(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    unsigned *count = user;

    (void)kind, (void)value;
    if (!strcasecmp(name, "Content-Length"))
        ++*count;
    return MHD_YES;
}

static int route(const struct request *request, struct MHD_Connection *connection, const char *method)
{
    const struct origin_request page = {.host = header(connection, "Host"),
                                        .origin = header(connection, "Origin"),
                                        .fetch_site = header(connection, "Sec-Fetch-Site")};
    const struct sse_text path = {request->target, strcspn(request->target, "?")};
    int status = service_route(request->service, sse_str(method), path, &page), refused;
    unsigned lengths = 0;

    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_length, &lengths);
    refused = body_check_framing(header(connection, "Content-Length").ptr, lengths,
                                 header(connection, "Transfer-Encoding").ptr);
    return status == SERVICE_PUBLISH && refused ? refused : status;
}

static enum MHD_Result respond(struct server *server, struct request *request,
                               struct MHD_Connection *connection)
{
    const char *encoded = strchr(request->target, '?');
    struct service_query query;

    service_read_query(&query, sse_str(encoded ? encoded + 1 : NULL), header(connection, "Last-Event-ID"));
    switch (request->status) {
    case SERVICE_STREAM:
        return answer_with_stream(server, connection, &query);
    case SERVICE_HEAD:
        return answer_with_head(connection);
    case SERVICE_PUBLISH:
        return answer(connection, service_publish(request->service, &query, &request->body), NULL);
    default:
        return answer(connection, request->status, service_allow(request->status, sse_str(request->target)));
    }
}

/* A request without a publishable body is answered at once. A body that becomes too large is read to its end,
 * because libmicrohttpd permits an answer only before the body or after it. */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context)
{
    struct request *request = *context;
    const size_t size = *upload_size;

    (void)url, (void)version;
    if (!request || !request->target)
        return MHD_NO;
    if (!request->has_begun) {
        request->has_begun = true;
        request->end_ms = service_now_ms() + SERVICE_BODY_MS;
        request->status = route(request, connection, method);
        return request->status == SERVICE_PUBLISH ? MHD_YES : respond(user, request, connection);
    }
    if (!size)
        return respond(user, request, connection);
    if (service_now_ms() >= request->end_ms)
        return MHD_NO;
    *upload_size = 0;
    if (request->status == SERVICE_PUBLISH) {
        int status = body_append(&request->body, &request->service->bodies, upload, size);

        request->status = status ? status : SERVICE_PUBLISH;
    }
    return MHD_YES;
}

static void clear(struct request *request)
{
    free(request->target);
    request->target = NULL;
    body_free(&request->body, &request->service->bodies);
}

/* The only callback that shows the query as it was sent. Later, libmicrohttpd decodes it and ends it at a NUL. */
static void *begin_request(void *user, const char *target, struct MHD_Connection *connection)
{
    struct request *request =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    (void)user;
    if (request) {
        clear(request);
        request->has_begun = false;
        request->target = strdup(target);
    }
    return request;
}

static void end_request(void *user, struct MHD_Connection *connection, void **context,
                        enum MHD_RequestTerminationCode why)
{
    (void)user, (void)connection, (void)why;
    if (*context)
        clear(*context);
}

/* A connection has one struct for all its requests, because libmicrohttpd does not report the end of a request
 * whose query has more parameters than it can hold. */
static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct request *request = what == MHD_CONNECTION_NOTIFY_STARTED ? calloc(1, sizeof(*request)) : *context;

    (void)connection;
    *context = request;
    if (request)
        request->service = user;
    if (request && what == MHD_CONNECTION_NOTIFY_CLOSED) {
        clear(request);
        free(request);
    }
}

struct MHD_Daemon *start_server(struct server *server, unsigned flags)
{
    const size_t descriptors = service_descriptors();
    const unsigned most = (unsigned)(descriptors > 2 * SERVICE_SPARE ? descriptors - SERVICE_SPARE : 1);

    return MHD_start_daemon(flags | MHD_USE_ERROR_LOG, (uint16_t)server->service.port, NULL, NULL, handle,
                            server, MHD_OPTION_URI_LOG_CALLBACK, begin_request, &server->service,
                            MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL, MHD_OPTION_NOTIFY_CONNECTION,
                            on_connection, &server->service, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
                            MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_END);
}

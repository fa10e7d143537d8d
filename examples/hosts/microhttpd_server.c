/* SPDX-License-Identifier: MIT */
#include "microhttpd_server.h"

#include <stdlib.h>
#include <string.h>

struct request {
    char *target;
    char *body;
    size_t size;
    bool has_begun;
};

static enum MHD_Result answer(struct MHD_Connection *connection, int status)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);

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

static enum MHD_Result answer_with_stream(struct server *server, struct MHD_Connection *connection,
                                          const struct service_query *query)
{
    struct sse_emitter_options options = service_emitter_options(&server->service, query);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);
    struct MHD_Response *response;
    enum MHD_Result result;
    int error;

    options.loop = server->streams;
    error = open_stream(&response, options, connection);
    if (error)
        return refuse(connection, error);
    for (ssize_t i = 0; i < count; i++)
        MHD_add_response_header(response, headers[i].name.ptr, headers[i].value.ptr);
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result append(struct request *request, const char *data, size_t size)
{
    char *grown =
        request->size + size <= SSE_EVENT_SIZE_MAX ? realloc(request->body, request->size + size) : NULL;

    if (!grown)
        return MHD_NO;
    memcpy(grown + request->size, data, size);
    request->body = grown;
    request->size += size;
    return MHD_YES;
}

static void read_query(struct service_query *query, const struct request *request,
                       struct MHD_Connection *connection)
{
    const char *encoded = strchr(request->target, '?');
    const char *id = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");

    service_read_query(query, sse_str(encoded ? encoded + 1 : NULL), sse_str(id));
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context)
{
    struct server *server = user;
    struct request *request = *context;
    size_t size = *upload_size;
    struct service_query query;

    (void)version;
    if (!request || !request->target)
        return MHD_NO;
    if (!request->has_begun) {
        request->has_begun = true;
        return MHD_YES;
    }
    if (size) {
        *upload_size = 0;
        return append(request, upload, size);
    }
    read_query(&query, request, connection);
    if (!strcmp(url, "/events") && !strcmp(method, "GET"))
        return answer_with_stream(server, connection, &query);
    if (strcmp(url, "/publish") || strcmp(method, "POST"))
        return answer(connection, 404);
    return answer(connection, service_publish(&server->service, &query, request->body, request->size));
}

/* The only place where the query is seen as it came. libmicrohttpd decodes it, and ends it at a NUL. */
static void *begin_request(void *user, const char *target, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof(*request));

    (void)user, (void)connection;
    if (request)
        request->target = strdup(target);
    return request;
}

static void forget_request(void *user, struct MHD_Connection *connection, void **context,
                           enum MHD_RequestTerminationCode why)
{
    struct request *request = *context;

    (void)user, (void)connection, (void)why;
    if (!request)
        return;
    free(request->target);
    free(request->body);
    free(request);
}

struct MHD_Daemon *start_server(struct server *server, unsigned flags, unsigned timeout)
{
    return MHD_start_daemon(flags | MHD_USE_ERROR_LOG, (uint16_t)server->service.port, NULL, NULL, handle,
                            server, MHD_OPTION_URI_LOG_CALLBACK, begin_request, NULL,
                            MHD_OPTION_NOTIFY_COMPLETED, forget_request, NULL, MHD_OPTION_CONNECTION_TIMEOUT,
                            timeout, MHD_OPTION_END);
}

/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd with a thread for each connection: PULL. Its reader may block, so it waits.
 */
#include "service.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_SECONDS 20

/* -- the adapter ---------------------------------------------------------------------------- */

/* Whatever ends the emitter ends the wait. */
static ssize_t read_stream(void *user, uint64_t position, char *buffer, size_t size)
{
    struct sse_emitter *emitter = user;
    ssize_t result;

    (void)position;
    do {
        result = sse_emitter_wait(emitter, -1);
        if (result == 1)
            result = sse_emitter_read(emitter, buffer, size);
    } while (!result);
    if (result > 0)
        return result;
    return result == -ESHUTDOWN ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* The last byte was sent, the connection is gone, or the response never began. */
static void close_stream(void *user)
{
    struct sse_emitter *emitter = user;
    struct service *service = sse_emitter_user(emitter);

    (void)sse_emitter_complete_with_error(emitter, -ECONNRESET);
    sse_emitter_detach(emitter);
    sse_emitter_unref(emitter);
    service_end_stream(service);
}

static struct sse_emitter *open_stream(struct service *service)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct sse_emitter *emitter;

    options.drain = SSE_DRAIN_PULL;
    /* Only a write tells that the client has left: the second one, as the first is answered with a reset. */
    options.heartbeat_ms = (options.heartbeat_ms + 1) / 2;
    options.user = service;
    if (sse_emitter_new(&emitter, &options))
        return NULL;
    service_begin_stream(service);
    return emitter;
}

/* -- the server ----------------------------------------------------------------------------- */

struct body {
    char *data;
    size_t size;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, status, response);

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_with_stream(struct service *service, struct MHD_Connection *connection)
{
    const char *topic = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "topic");
    const char *id = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
    struct sse_emitter *emitter = open_stream(service);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);
    struct MHD_Response *response;
    enum MHD_Result result;
    int error;

    if (!emitter)
        return answer(connection, 503);
    error = service_subscribe(service, emitter, topic, id);
    if (error) {
        close_stream(emitter);
        return answer(connection, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
    }
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, emitter, close_stream);
    if (!response) {
        close_stream(emitter);
        return MHD_NO;
    }
    for (ssize_t i = 0; i < count; i++)
        MHD_add_response_header(response, headers[i].name.ptr, headers[i].value.ptr);
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result append(struct body *body, const char *data, size_t size)
{
    char *grown = body->size + size <= SSE_EVENT_SIZE_MAX ? realloc(body->data, body->size + size) : NULL;

    if (!grown)
        return MHD_NO;
    memcpy(grown + body->size, data, size);
    *body = (struct body){grown, body->size + size};
    return MHD_YES;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **request)
{
    struct service *service = user;
    struct body *body = *request;
    size_t size = *upload_size;

    (void)version;
    if (!body) {
        *request = calloc(1, sizeof(*body));
        return *request ? MHD_YES : MHD_NO;
    }
    if (size) {
        *upload_size = 0;
        return append(body, upload, size);
    }
    if (!strcmp(url, "/events") && !strcmp(method, "GET"))
        return answer_with_stream(service, connection);
    if (strcmp(url, "/publish") || strcmp(method, "POST"))
        return answer(connection, 404);
    return answer(connection,
                  (unsigned)service_publish(
                      service, MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "topic"),
                      body->data, body->size));
}

static void forget_request(void *user, struct MHD_Connection *connection, void **request,
                           enum MHD_RequestTerminationCode why)
{
    struct body *body = *request;

    (void)user, (void)connection, (void)why;
    if (body)
        free(body->data);
    free(body);
}

int main(int argc, char **argv)
{
    struct service service;
    struct MHD_Daemon *daemon;
    unsigned timeout;

    service_open(&service, argc, argv, NULL, NULL);
    /* A client that reads nothing holds its thread for no longer than that. */
    timeout = (unsigned)(service.heartbeat_ms / 1000) + WRITE_SECONDS;
    daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ERROR_LOG,
        (uint16_t)service.port, NULL, NULL, handle, &service, MHD_OPTION_NOTIFY_COMPLETED, forget_request,
        NULL, MHD_OPTION_CONNECTION_TIMEOUT, timeout, MHD_OPTION_END);
    if (!daemon)
        return 1;
    service_run(&service);
    MHD_stop_daemon(daemon);
    service_close(&service);
    return 0;
}

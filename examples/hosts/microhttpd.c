/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd with its own polling thread: PULL. Its reader suspends the connection when there is
 * nothing to read; on_ready resumes it, from whichever thread published.
 */
#include "service.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* -- the adapter ---------------------------------------------------------------------------- */

struct stream {
    struct service *service;
    struct sse_emitter *emitter;
    struct MHD_Connection *connection;
    pthread_mutex_t lock;
    bool suspended;
};

/* The lock makes one step of "nothing there" and the suspension: a resume never comes too early. */
static ssize_t read_stream(void *user, uint64_t position, char *buffer, size_t size)
{
    struct stream *stream = user;
    ssize_t result;

    (void)position;
    pthread_mutex_lock(&stream->lock);
    result = sse_emitter_read(stream->emitter, buffer, size);
    if (!result) {
        stream->suspended = true;
        MHD_suspend_connection(stream->connection);
    }
    pthread_mutex_unlock(&stream->lock);
    if (result >= 0)
        return result;
    return result == -ESHUTDOWN ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void resume(struct sse_emitter *emitter, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    pthread_mutex_lock(&stream->lock);
    if (stream->suspended) {
        stream->suspended = false;
        MHD_resume_connection(stream->connection);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* The last byte was sent, the connection is gone, or the response never began. */
static void close_stream(void *user)
{
    struct stream *stream = user;
    struct service *service = stream->service;

    (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    sse_emitter_detach(stream->emitter);
    sse_emitter_unref(stream->emitter);
    service_end_stream(service);
}

static void free_stream(void *user)
{
    struct stream *stream = user;

    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static struct stream *open_stream(struct service *service, struct MHD_Connection *connection)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    stream->service = service;
    stream->connection = connection;
    pthread_mutex_init(&stream->lock, NULL);
    options.drain = SSE_DRAIN_PULL;
    options.on_ready = resume;
    options.on_release = free_stream;
    options.user = stream;
    if (sse_emitter_new(&stream->emitter, &options)) {
        free_stream(stream);
        return NULL;
    }
    service_begin_stream(service);
    return stream;
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
    struct stream *stream = open_stream(service, connection);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);
    struct MHD_Response *response;
    enum MHD_Result result;
    int error;

    if (!stream)
        return answer(connection, 503);
    error = service_subscribe(service, stream->emitter, topic, id);
    if (error) {
        close_stream(stream);
        return answer(connection, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
    }
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, stream, close_stream);
    if (!response) {
        close_stream(stream);
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

    service_open(&service, argc, argv, NULL, NULL);
    daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
                              (uint16_t)service.port, NULL, NULL, handle, &service,
                              MHD_OPTION_NOTIFY_COMPLETED, forget_request, NULL, MHD_OPTION_END);
    if (!daemon)
        return 1;
    service_run(&service);
    MHD_stop_daemon(daemon);
    service_close(&service);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd with its own polling thread: output PULL. The reader suspends the connection when there is nothing
 * to read, and on_ready resumes it. The main thread runs the loop of the streams. This loop also watches the
 * sockets, because libmicrohttpd does not notice a disconnect while a connection is suspended.
 */
#include "microhttpd_server.h"
#include "socket.h"

#include <stdlib.h>

/* -- the adapter ---------------------------------------------------------------------------- */

/* The time limit for a client that reads nothing. */
#define SEND_SECONDS 30u

struct stream {
    struct sse_emitter *emitter;
    struct MHD_Connection *connection;
    pthread_mutex_t lock;
    bool suspended;
};

/* The lock joins the empty read and the suspension into one step, so on_ready cannot run between them. */
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
    return result == SSE_ENDED ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct stream *stream = user;

    (void)emitter, (void)what;
    pthread_mutex_lock(&stream->lock);
    if (stream->suspended) {
        stream->suspended = false;
        MHD_resume_connection(stream->connection);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* The last byte was sent, the connection is closed, or the response never began. */
static void close_stream(void *user)
{
    struct stream *stream = user;

    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
    sse_emitter_close(stream->emitter);
}

static void free_stream(void *user)
{
    struct stream *stream = user;

    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

int open_stream(struct MHD_Response **response, struct sse_emitter_options options,
                struct MHD_Connection *connection)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    int error;

    if (!stream)
        return -ENOMEM;
    stream->connection = connection;
    pthread_mutex_init(&stream->lock, NULL);
    options.output = SSE_OUTPUT_PULL;
    options.watch_fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    options.on_ready = on_ready;
    options.on_release = free_stream;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options, NULL);
    if (error) {
        free_stream(stream);
        return error;
    }
    socket_set_options(options.watch_fd);
    *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, stream, close_stream);
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, SEND_SECONDS);
    if (*response)
        return 0;
    close_stream(stream);
    return -ENOMEM;
}

/* -- the server ----------------------------------------------------------------------------- */

static void stop(void *user)
{
    (void)sse_loop_stop(user);
}

int main(int argc, char **argv)
{
    struct server server = {.streams = NULL};
    struct MHD_Daemon *daemon;

    if (sse_loop_new(&server.streams, NULL))
        return 1;
    service_open(&server.service, argc, argv, stop, server.streams);
    /* Epoll must be off: with it, version 0.9.75 does not close a connection that its reader has ended with an
     * error, until something else happens. */
    daemon = start_server(&server, MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME);
    if (!daemon)
        return 1;
    (void)sse_loop_run(server.streams);
    MHD_stop_daemon(daemon);
    service_close(&server.service);
    sse_loop_free(server.streams);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd with one thread for each connection: output PULL without a loop. The reader may block, so it waits
 * in the emitter. Only a failing write shows a disconnect, and the first write after a disconnect still succeeds,
 * so only the second heartbeat notices it.
 */
#include "microhttpd_server.h"
#include "socket.h"

/* -- the adapter ---------------------------------------------------------------------------- */

/* The time limit for a client that reads nothing, in addition to the time between two heartbeats. Without it the
 * connection and its thread would stay until the client disconnects. */
#define SEND_SECONDS 10u

/* Returns as well when the emitter has ended. */
static ssize_t read_stream(void *user, uint64_t position, char *buffer, size_t size)
{
    struct sse_emitter *emitter = user;
    ssize_t result;

    (void)position;
    do {
        result = sse_emitter_wait(emitter, -1);
        if (result > 0)
            result = sse_emitter_read(emitter, buffer, size);
    } while (!result);
    if (result > 0)
        return result;
    return result == SSE_ENDED ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* The last byte was sent, the connection is closed, or the response never began. */
static void close_stream(void *user)
{
    struct sse_emitter *emitter = user;

    (void)sse_emitter_abort(emitter, -ECONNRESET);
    sse_emitter_close(emitter);
}

int open_stream(struct MHD_Response **response, struct sse_emitter_options options,
                struct MHD_Connection *connection)
{
    const unsigned seconds = (unsigned)(options.heartbeat_ms / 1000) + SEND_SECONDS;
    struct sse_emitter *emitter;
    int error;

    options.output = SSE_OUTPUT_PULL;
    error = sse_emitter_new(&emitter, &options, NULL);
    if (error)
        return error;
    socket_set_options(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, emitter, close_stream);
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
    if (*response)
        return 0;
    close_stream(emitter);
    return -ENOMEM;
}

/* -- the server ----------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    struct server server = {.streams = NULL};
    struct MHD_Daemon *daemon;

    service_open(&server.service, argc, argv, NULL, NULL);
    daemon =
        start_server(&server, MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION);
    if (!daemon)
        return 1;
    service_run(&server.service);
    MHD_stop_daemon(daemon);
    service_close(&server.service);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The hub: a small server of Server-Sent Events, in one thread. server waits for all descriptors. connection,
 * request and body read one request, and routes decides about it. stream, publish and hub use the library: stream
 * gives it the descriptor of a client, and from then on the library's loop does the work.
 */
#include "descriptor.h"
#include "hub.h"
#include "listener.h"
#include "options.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_BAD_OPTIONS 2

static int announce(int listener)
{
    char url[LISTENER_URL_SIZE];
    int error = listener_url(listener, url);

    if (error == 0)
        printf("listening on %s\n", url);
    fflush(stdout);
    return error;
}

static int serve(struct hub *hub, int listener)
{
    struct server server;
    int error = server_begin(&server, hub, listener);

    if (error < 0)
        return error;
    error = announce(listener);
    if (error == 0)
        error = server_run(&server);
    server_end(&server);
    return error;
}

static int run(const struct options *options)
{
    struct hub hub;
    int listener = listener_open(options);
    int error;

    if (listener < 0)
        return EXIT_FAILURE;
    error = hub_begin(&hub, options);
    if (error == 0) {
        error = serve(&hub, listener);
        hub_end(&hub);
    } else {
        close(listener);
    }
    if (error < 0)
        fprintf(stderr, "hub: %s\n", strerror(-error));
    return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argument_count, char **arguments)
{
    struct options options;

    if (descriptor_fill_standard() < 0)
        return EXIT_FAILURE;
    switch (options_read(&options, argument_count, arguments)) {
    case OPTIONS_HELP:
        return EXIT_SUCCESS;
    case OPTIONS_BAD:
        return EXIT_BAD_OPTIONS;
    case OPTIONS_RUN:
        break;
    }
    return run(&options);
}

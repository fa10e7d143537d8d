/* SPDX-License-Identifier: MIT */
/* A complete server: every connection becomes an event stream, and all are told when somebody joins. */
#include <arpa/inet.h>
#include <pthread.h>
#include <sse/sse.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void *run(void *loop)
{
    return sse_loop_run(loop), NULL;
}

int main(void)
{
    const struct sse_http_options http = {.size = sizeof(http), .cors_origin = sse_str("*")};
    const struct sse_event joined = {.type = sse_str("joined"), .data = sse_str("somebody joined")};
    struct sse_emitter_options options = {.size = sizeof(options), .output = SSE_OUTPUT_FD, .http = &http};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    pthread_t thread;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 64) ||
        sse_registry_new(&options.registry, NULL) || sse_loop_new(&options.loop, NULL) ||
        pthread_create(&thread, NULL, run, options.loop))
        return fputs("cannot start: is port 8080 in use?\n", stderr), 1;
    for (;;) {
        options.fd = accept(listener, NULL, NULL);
        if (options.fd < 0)
            sleep(1); /* perhaps no descriptor is free */
        else if (sse_emitter_new(NULL, &options, NULL))
            close(options.fd);
        else
            sse_registry_publish(options.registry, sse_str(NULL), &joined, NULL);
    }
}

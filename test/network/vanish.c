/* SPDX-License-Identifier: MIT */
/*
 * A stream to a client that vanishes. There is no FIN and no RST, because its packets are dropped.
 *
 *   vanish server ADDRESS PORT     serves one client, and prints how its stream ended
 *   vanish client ADDRESS PORT     connects, prints "open" at the first byte, and goes on reading
 */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static void completed(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    printf("%s, %s\n", sse_reason_name(completion->reason), strerror(-completion->error));
    fflush(stdout);
    (void)sse_loop_stop(user);
}

static int serve(const struct sockaddr_in *address)
{
    const struct sse_http_options http = {.size = sizeof(http)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .output = SSE_OUTPUT_FD,
                                          .http = &http,
                                          .stall_ms = 1000,
                                          .heartbeat_ms = 200,
                                          .on_completion = completed};
    struct sse_loop *loop;

    if (listener < 0 || bind(listener, (const struct sockaddr *)address, sizeof(*address)) ||
        listen(listener, 1))
        return fail("listen");
    puts("listening");
    fflush(stdout);
    if (sse_loop_new(&loop, NULL))
        return fail("sse_loop_new");
    options.fd = accept(listener, NULL, NULL);
    options.loop = loop;
    options.user = loop;
    if (sse_emitter_new(NULL, &options, NULL))
        return fail("sse_emitter_new");
    if (sse_loop_run(loop))
        return fail("sse_loop_run");
    sse_loop_free(loop);
    close(listener);
    return 0;
}

static int read_stream(const struct sockaddr_in *address)
{
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    char bytes[1000];

    if (stream < 0 || connect(stream, (const struct sockaddr *)address, sizeof(*address)))
        return fail("connect");
    if (read(stream, bytes, sizeof(bytes)) <= 0)
        return fail("read");
    puts("open");
    fflush(stdout);
    while (read(stream, bytes, sizeof(bytes)) > 0)
        continue;
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    if (argc != 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: vanish server|client ADDRESS PORT\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[3]));
    return strcmp(argv[1], "server") ? read_stream(&address) : serve(&address);
}

/* SPDX-License-Identifier: MIT */
/*
 * One emitter, without a loop and without a registry. It is a CGI program, which a web server starts for each
 * client. Run it in a terminal to see what it writes.
 */
#include <sse/sse.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    const struct sse_event events[] = {
        {.data = sse_str("hello")},
        {.type = sse_str("poem"), .data = sse_str("roses are red\nviolets are blue")},
        {.data = sse_str("bye"), .id = sse_str("3"), .retry_ms = 2000},
    };
    const struct sse_http_options http = {.size = sizeof(http), .version = SSE_HTTP_CGI};
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .output = SSE_OUTPUT_FD,
        .fd = STDOUT_FILENO,
        .keep_fd = true,
        .http = &http,
    };
    struct sse_emitter *emitter = NULL;
    int error = sse_emitter_new(&emitter, &options, NULL);

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]) && error == 0; ++i)
        error = sse_emitter_send(emitter, &events[i]);
    if (error == 0)
        error = sse_emitter_complete(emitter);
    /* Anything that standard output could not accept yet is still queued. */
    if (error == 0)
        error = sse_emitter_wait(emitter, -1);
    sse_emitter_close(emitter);
    if (error == SSE_ENDED)
        return 0;
    fprintf(stderr, "01_hello_fd: %s\n", strerror(-error));
    return 1;
}

/* SPDX-License-Identifier: MIT */
/* Three events to standard output: an emitter that writes to a file descriptor. */
#include <errno.h>
#include <poll.h>
#include <sse/sse.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    const struct sse_event events[] = {
        {.data = sse_str("hello")},
        {.type = sse_str("poem"), .data = sse_str("roses are red\nviolets are blue")},
        {.type = sse_str("farewell"), .data = sse_str("bye"), .id = sse_str("3"), .retry_ms = 2000},
    };
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .fd = STDOUT_FILENO,
    };
    struct pollfd room = {.fd = STDOUT_FILENO, .events = POLLOUT};
    struct sse_emitter *emitter = NULL;
    int error = sse_emitter_new(&emitter, &options);

    for (size_t i = 0; i < 3 && error == 0; ++i)
        error = sse_emitter_send(emitter, &events[i]);
    if (error == 0)
        error = sse_emitter_complete(emitter);
    /* What standard output had no room for is still queued; once all has left the stream is over. */
    while (error == 0 && (error = sse_emitter_flush(emitter)) == 1)
        error = poll(&room, 1, -1) < 0 ? -errno : 0;
    sse_emitter_unref(emitter);
    if (error == 0 || error == -ESHUTDOWN)
        return 0;
    fprintf(stderr, "01_hello_fd: %s\n", strerror(-error));
    return 1;
}

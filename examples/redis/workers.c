/* SPDX-License-Identifier: MIT */
#include "workers.h"

#include "clock.h"
#include "entry.h"
#include "listener.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MS 2000
#define EXHAUSTED_MS 100

/* Returns the next connection; -1 at the end. */
static int next_connection(const struct workers *workers)
{
    for (;;) {
        struct pollfd wanted[] = {{workers->stop[0], POLLIN, 0}, {workers->listener, POLLIN, 0}};
        int fd;

        if (poll(wanted, 2, -1) < 0 && errno != EINTR)
            return -1;
        if (wanted[0].revents)
            return -1;
        /* Another thread may have been faster. */
        fd = listener_accept(workers->listener);
        if (fd >= 0)
            return fd;
        if (fd != -EAGAIN && fd != -ECONNABORTED)
            (void)poll(wanted, 1, EXHAUSTED_MS);
    }
}

/* Returns 0 at the end of the input, or when the time is up. */
static size_t receive(int fd, char *bytes, size_t size, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd readable = {fd, POLLIN, 0};
        int64_t left = deadline_ms - clock_now_ms();
        ssize_t received;

        if (left <= 0 || (poll(&readable, 1, (int)left) < 0 && errno != EINTR))
            return 0;
        received = recv(fd, bytes, size, 0);
        if (received >= 0)
            return (size_t)received;
        if (errno != EAGAIN && errno != EINTR)
            return 0;
    }
}

/* Returns 1, or the HTTP status of the refusal. */
static int read_request(int fd, struct request *request, struct body *body)
{
    const int64_t deadline_ms = clock_now_ms() + REQUEST_MS;
    char bytes[4096];
    bool in_body = false;
    int status = 0;

    while (!status) {
        size_t used = 0, size = receive(fd, bytes, sizeof(bytes), deadline_ms);

        if (!size)
            return 408;
        if (!in_body && (status = request_feed(request, bytes, size, &used)) == 1) {
            in_body = true;
            status = body_begin(body, request, ENTRY_EVENT_MAX);
        }
        if (!status && in_body)
            status = body_feed(body, bytes + used, size - used);
    }
    return status;
}

static void serve(struct node *node, int fd)
{
    struct request *request = calloc(1, sizeof(*request));
    struct body body = {.left = 0};
    int status = request ? read_request(fd, request, &body) : 503;
    bool taken = false;

    if (status == 1)
        taken = routes_answer(node, fd, request, &body);
    else
        routes_respond(fd, status, "{\"error\": \"the request could not be read\"}\n");
    if (!taken)
        close(fd);
    body_release(&body);
    free(request);
}

static void *work(void *user)
{
    const struct workers *workers = user;
    int fd;

    while ((fd = next_connection(workers)) >= 0)
        serve(workers->node, fd);
    return NULL;
}

int workers_start(struct workers *workers, struct node *node, int listener)
{
    int error = 0;

    *workers = (struct workers){.node = node, .listener = listener};
    if (pipe(workers->stop) < 0)
        return -errno;
    while (workers->count < WORKERS && !error) {
        error = pthread_create(&workers->threads[workers->count], NULL, work, workers);
        workers->count += !error;
    }
    if (error)
        workers_stop(workers);
    return -error;
}

void workers_stop(struct workers *workers)
{
    close(workers->stop[1]);
    for (size_t i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    close(workers->stop[0]);
}

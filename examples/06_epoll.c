/* SPDX-License-Identifier: MIT */
/*
 * The program's own epoll loop (Linux, edge-triggered) drives the library's loop. Other threads publish.
 *
 *     06_epoll 8080
 *     curl -N http://127.0.0.1:8080/events
 *     curl -d hello http://127.0.0.1:8080/publish
 */
#include "toy_http.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define PROGRAM "06_epoll"

static struct sse_registry *registry;
static struct sse_loop *loop;
static int epoll_fd, wake_fd;

/* Carries new sockets from the toy server's threads to the loop. A server that reads in its loop needs none. */
static int new_streams[2];

/* May run in any thread. Level-triggered, you would have to read the eventfd before each turn. */
static void on_wake(struct sse_loop *woken, void *user)
{
    (void)woken;
    (void)user;
    (void)eventfd_write(wake_fd, 1);
}

static int watch(int fd, uint32_t events, void *pointer)
{
    struct epoll_event event = {.events = events, .data.ptr = pointer};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void open_stream(int fd)
{
    const struct sse_http_options http = {.size = sizeof(http)};
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .loop = loop,
        .output = SSE_OUTPUT_FD,
        .fd = fd,
        .http = &http,
        .retry_ms = 2000,
    };
    struct sse_emitter *emitter;
    int error = sse_emitter_new(&emitter, &options, NULL);

    if (error) {
        toy_refuse(fd, error, &http);
        close(fd);
        return;
    }
    /* Edge-triggered epoll reports room only after the socket was full, so on_ready does not have to ask for it. */
    error = watch(fd, EPOLLOUT | EPOLLRDHUP | EPOLLET, emitter);
    if (error)
        sse_emitter_abort(emitter, error);
    /* The loop closes the socket before it frees the emitter, and a closed socket is in no epoll set. */
    sse_emitter_unref(emitter);
}

/* Returns false if no more streams will come. */
static bool take_stream(void)
{
    int fd;
    ssize_t size = read(new_streams[0], &fd, sizeof(fd));

    if (size == sizeof(fd))
        open_stream(fd);
    else if (size == 0)
        close(new_streams[0]);
    return size != 0;
}

static void serve_client(struct sse_emitter *emitter, uint32_t events)
{
    if (events & EPOLLOUT)
        sse_emitter_flush(emitter);
    /* The client has closed either the connection or only its sending side. The ping finds out which. */
    if (events & EPOLLRDHUP)
        sse_emitter_ping(emitter);
    if (events & (EPOLLERR | EPOLLHUP))
        sse_emitter_abort(emitter, -ECONNRESET);
}

static void *run_loop(void *unused)
{
    struct epoll_event events[64];
    int timeout_ms = 0;
    bool serving = true;

    (void)unused;
    while (serving || sse_loop_count(loop) > 0) {
        int count = epoll_wait(epoll_fd, events, 64, timeout_ms);

        /* Emitters are freed only in the turn, so every pointer in `events` is still valid. */
        for (int i = 0; i < count; ++i) {
            if (events[i].data.ptr == new_streams)
                serving = take_stream();
            else if (events[i].data.ptr != &wake_fd)
                serve_client(events[i].data.ptr, events[i].events);
        }
        timeout_ms = sse_loop_turn(loop);
    }
    return NULL;
}

/* Runs in a thread of the toy server. */
static bool handle(int fd, const struct toy_request *request)
{
    const struct sse_event event = {.data = request->body};
    struct sse_delivery delivery;

    if (toy_is(request, "GET /events"))
        return write(new_streams[1], &fd, sizeof(fd)) == sizeof(fd);
    if (toy_is(request, "POST /publish"))
        toy_answer_publish(fd, sse_registry_publish(registry, sse_str(NULL), &event, &delivery), &delivery);
    else
        toy_respond(fd, "404 Not Found", "GET /events or POST /publish\n");
    return false;
}

int main(int argument_count, char **arguments)
{
    const struct sse_registry_options limits = {.size = sizeof(limits), .emitters_max = 250};
    const struct sse_loop_options driven = {.size = sizeof(driven), .on_wake = on_wake};
    int port = toy_port(PROGRAM, argument_count, arguments);
    pthread_t thread;

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    toy_check(PROGRAM, epoll_fd < 0 || wake_fd < 0 ? errno : 0);
    toy_pipe(PROGRAM, new_streams);
    toy_check(PROGRAM, watch(wake_fd, EPOLLIN | EPOLLET, &wake_fd));
    toy_check(PROGRAM, watch(new_streams[0], EPOLLIN, new_streams));
    toy_check(PROGRAM, sse_registry_new(&registry, &limits));
    toy_check(PROGRAM, sse_loop_new(&loop, &driven));
    toy_check(PROGRAM, pthread_create(&thread, NULL, run_loop, NULL));
    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_check(PROGRAM, shut_down(registry));
    toy_join();
    close(new_streams[1]);
    pthread_join(thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The program's own poll(2) loop drives the library's loop. Other threads publish.
 *
 *     03_own_poll_loop 8080
 *     curl -N http://127.0.0.1:8080/events
 *     curl -d hello http://127.0.0.1:8080/publish
 */
#include "toy_http.h"

#define PROGRAM "03_own_poll_loop"
#define CLIENTS_MAX 250

static struct sse_registry *registry;
static struct sse_loop *loop;

/* Other threads write this to the loop's pipe: the socket of a new stream, or one of these commands. */
enum { WAKE = -1, END = -2 };
static int pipe_ends[2];

/* poll waits for the pipe and for the sockets of the streams. The descriptor of a free slot is -1. Only the loop's
 * thread uses the slots, and the callbacks run in it, so no lock is needed. */
enum { PIPE, FIRST_CLIENT, SLOTS = FIRST_CLIENT + CLIENTS_MAX };
static struct pollfd polls[SLOTS];
static struct sse_emitter *emitters[SLOTS];
static nfds_t used = FIRST_CLIENT;

static bool tell_loop(int what)
{
    return write(pipe_ends[1], &what, sizeof(what)) == sizeof(what);
}

/* May run in any thread. If the pipe is full, poll returns anyway. */
static void on_wake(struct sse_loop *woken, void *user)
{
    (void)woken;
    (void)user;
    (void)tell_loop(WAKE);
}

/* The socket is full. poll reports when it has room again. */
static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct pollfd *slot = user;

    (void)emitter;
    if (what & SSE_BLOCKED)
        slot->events |= POLLOUT;
}

/* The library closes the socket after this call. */
static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct pollfd *slot = user;

    (void)completion;
    slot->fd = -1;
    sse_emitter_close(emitter);
}

static void open_stream(int fd)
{
    const struct sse_http_options http = {.size = sizeof(http)};
    struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .loop = loop,
        .output = SSE_OUTPUT_FD,
        .fd = fd,
        .http = &http,
        .retry_ms = 2000,
        .on_ready = on_ready,
        .on_completion = on_completion,
    };
    nfds_t slot = FIRST_CLIENT;
    int error;

    /* Takes the first free slot to keep the list short: poll refuses a list longer than the limit of
     * descriptors. */
    while (slot < used && polls[slot].fd >= 0)
        ++slot;
    options.user = &polls[slot];
    error = slot < SLOTS ? sse_emitter_new(&emitters[slot], &options, NULL) : -EAGAIN;
    if (error) {
        toy_refuse(fd, error, &http);
        close(fd);
        return;
    }
    polls[slot] = (struct pollfd){.fd = fd, .events = POLLIN};
    if (slot == used)
        ++used;
}

static void serve_client(struct pollfd *slot, struct sse_emitter *emitter)
{
    char rest[1024];

    if (slot->revents & (POLLERR | POLLHUP))
        sse_emitter_abort(emitter, -ECONNRESET);
    if ((slot->revents & POLLIN) && recv(slot->fd, rest, sizeof(rest), 0) == 0) {
        /* The client has closed either the connection or only its sending side. In the first case, poll
         * reports an error after this ping. */
        slot->events &= ~POLLIN;
        sse_emitter_ping(emitter);
    }
    if (slot->revents & POLLOUT) {
        slot->events &= ~POLLOUT;
        sse_emitter_flush(emitter);
    }
}

static void *run_loop(void *unused)
{
    int timeout_ms = 0;
    int told = WAKE;

    (void)unused;
    while (told != END) {
        if (poll(polls, used, timeout_ms) > 0) {
            for (nfds_t i = FIRST_CLIENT; i < used; ++i)
                serve_client(&polls[i], emitters[i]);
            if (polls[PIPE].revents && read(pipe_ends[0], &told, sizeof(told)) > 0 && told >= 0)
                open_stream(told);
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
        return tell_loop(fd);
    if (toy_is(request, "POST /publish"))
        toy_answer_publish(fd, sse_registry_publish(registry, sse_str(NULL), &event, &delivery), &delivery);
    else
        toy_respond(fd, "404 Not Found", "GET /events or POST /publish\n");
    return false;
}

int main(int argument_count, char **arguments)
{
    const struct sse_loop_options options = {.size = sizeof(options), .on_wake = on_wake};
    int port = toy_port(PROGRAM, argument_count, arguments);
    pthread_t thread;

    toy_pipe(PROGRAM, pipe_ends);
    polls[PIPE] = (struct pollfd){.fd = pipe_ends[0], .events = POLLIN};
    toy_check(PROGRAM, sse_registry_new(&registry, NULL));
    toy_check(PROGRAM, sse_loop_new(&loop, &options));
    toy_check(PROGRAM, pthread_create(&thread, NULL, run_loop, NULL));
    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_check(PROGRAM, shut_down(registry));
    sse_registry_wait(registry, -1);
    toy_join();
    tell_loop(END);
    pthread_join(thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A server of several processes. Each accepts connections, publishes, and has streams in its own registry. A ring
 * in shared memory connects them (ring.h, ring_reader.h):
 *
 *     workers -p 8080 -w 4 &
 *     curl -N 'http://127.0.0.1:8080/events?topic=news'
 *     curl -d hello 'http://127.0.0.1:8080/publish?topic=news'
 *
 * Options:
 *
 *     -p PORT      to listen on (8080)
 *     -w WORKERS   processes (4)
 *     -n EVENTS    the most events that the ring retains (65,536)
 *     -t MS        the reconnection time to send to clients (none)
 *
 * The parent serves no clients. It starts a new worker for each one that dies. SIGHUP replaces all workers: new
 * ones start, and the old ones end their streams and exit. SIGTERM and SIGINT end the server.
 */
#include "toy_http.h"
#include "worker.h"

#include <sys/wait.h>

#define WORKERS_MAX 16
/* A worker that has died earlier than this is replaced only after this time, so that a fault does not make the
 * parent spin. */
#define LIFE_MIN_MS 1000
/* From SIGTERM to SIGKILL. A worker that is not stopped needs less: three seconds for the requests that have begun, and
 * twice GRACE_MS. */
#define END_MS 10000

struct place {
    pid_t worker; /* 0: none */
    int64_t started_ms;
};

struct server {
    struct worker_options options;
    int lifeline; /* the parent's end of the pipe; only the parent has it, so the pipe ends with the parent */
    sigset_t signals;
    int workers;
    struct place places[WORKERS_MAX];
};

/* -- processes ---------------------------------------------------------------------------------- */

static void start(struct server *server, struct place *place)
{
    pid_t worker = fork();

    if (worker == 0) {
        close(server->lifeline);
        exit(worker_run(&server->options));
    }
    *place = (struct place){.worker = worker > 0 ? worker : 0, .started_ms = toy_now()};
    if (worker < 0) {
        fprintf(stderr, "%s: fork: %s\n", server->options.program, strerror(errno));
        return;
    }
    printf("worker %ld\n", (long)worker);
    fflush(stdout);
}

static void forget(struct server *server, pid_t worker)
{
    for (int i = 0; i < server->workers; i++) {
        if (server->places[i].worker == worker)
            server->places[i].worker = 0;
    }
}

/* Workers that a reload has replaced have no slot any more. Returns whether a worker is left. */
static bool reap(struct server *server)
{
    pid_t worker;
    int status;

    while ((worker = waitpid(-1, &status, WNOHANG)) > 0) {
        forget(server, worker);
        if (WIFSIGNALED(status))
            fprintf(stderr, "%s: worker %ld: signal %d\n", server->options.program, (long)worker,
                    WTERMSIG(status));
    }
    return worker == 0;
}

/* Returns the milliseconds until the next worker must be started; -1: none is missing. */
static int64_t start_missing(struct server *server)
{
    int64_t next = -1;

    for (int i = 0; i < server->workers; i++) {
        struct place *place = &server->places[i];
        int64_t left = place->started_ms + LIFE_MIN_MS - toy_now();

        if (!place->worker && (left <= 0 || !place->started_ms))
            start(server, place);
        else if (!place->worker && (next < 0 || left < next))
            next = left;
    }
    return next;
}

static void reload(struct server *server)
{
    for (int i = 0; i < server->workers; i++) {
        pid_t old = server->places[i].worker;

        start(server, &server->places[i]);
        if (old)
            kill(old, SIGTERM);
    }
}

/* -- signals ------------------------------------------------------------------------------------ */

/* SIGCHLD is ignored by default, and a program may not wait for an ignored signal. */
static void note_child(int number)
{
    (void)number;
}

static void block_signals(struct server *server)
{
    const struct sigaction action = {.sa_handler = note_child};

    sigaction(SIGCHLD, &action, NULL);
    sigemptyset(&server->signals);
    sigaddset(&server->signals, SIGTERM);
    sigaddset(&server->signals, SIGINT);
    sigaddset(&server->signals, SIGHUP);
    sigaddset(&server->signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &server->signals, NULL);
}

/* Returns the signal, or 0 when the time is up. */
static int next_signal(const struct server *server, int64_t milliseconds)
{
    const struct timespec time = {.tv_sec = (time_t)(milliseconds / 1000),
                                  .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    int number =
        milliseconds < 0 ? sigwaitinfo(&server->signals, NULL) : sigtimedwait(&server->signals, NULL, &time);

    return number > 0 ? number : 0;
}

static void supervise(struct server *server)
{
    int number = 0;

    while (number != SIGTERM && number != SIGINT) {
        reap(server);
        if (number == SIGHUP)
            reload(server);
        number = next_signal(server, start_missing(server));
    }
}

static void signal_all(const struct server *server, int number)
{
    for (int i = 0; i < server->workers; i++) {
        if (server->places[i].worker)
            kill(server->places[i].worker, number);
    }
}

/* Waits for all workers, those of an earlier reload too. */
static void end_workers(struct server *server)
{
    const int64_t deadline = toy_now() + END_MS;
    int64_t left = END_MS;

    signal_all(server, SIGTERM);
    while (reap(server) && left > 0) {
        (void)next_signal(server, left);
        left = deadline - toy_now();
    }
    signal_all(server, SIGKILL);
}

/* -- the beginning ------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
    struct ring_options ring = {.events = 0};
    struct server server = {.options = {.program = argv[0]}, .workers = 4};
    int option, port = 8080, ends[2];

    while ((option = getopt(argc, argv, "p:w:n:t:")) != -1) {
        if (option == 'p')
            port = toy_number(optarg, 65535);
        else if (option == 'w')
            server.workers = toy_number(optarg, WORKERS_MAX);
        else if (option == 'n')
            ring.events = (size_t)toy_number(optarg, 1 << 24);
        else if (option == 't')
            server.options.retry_ms = toy_number(optarg, 1 << 30);
        else
            port = -1;
    }
    if (optind != argc || port < 0 || server.workers < 1 || server.options.retry_ms < 0)
        toy_usage(argv[0], "[-p PORT] [-w WORKERS] [-n EVENTS] [-t MS]");
    toy_check(argv[0], ring_create(&server.options.ring, &ring));
    toy_check(argv[0], pipe(ends) < 0 ? errno : 0);
    server.options.parent = ends[0];
    server.lifeline = ends[1];
    block_signals(&server);
    server.options.listener = toy_listen(argv[0], port);
    supervise(&server);
    end_workers(&server);
    ring_free(server.options.ring);
    return 0;
}

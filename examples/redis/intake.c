/* SPDX-License-Identifier: MIT */
#include "intake.h"

#include "answer.h"
#include "clock.h"
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REQUEST_MS 5000
#define LINGER_MS 2000
/* The time that each client has at least, even if there are too many clients. */
#define PATIENCE_MS 500
#define ACCEPTS_PER_TURN 64
#define ACCEPT_PAUSE_MS 200
#define SAY_AGAIN_MS 60000

enum poll_index { POLL_STOP, POLL_ANSWERED, POLL_LISTENER, POLL_CONNECTIONS };

/* -- one connection ------------------------------------------------------------------------------ */

/* The connection must not be in the list any more. */
static void drop(struct intake *intake, size_t index)
{
    intake->connections[index] = intake->connections[--intake->count];
}

static void add(struct intake *intake, struct incoming *incoming, int64_t now_ms, int64_t time_ms)
{
    if (!incoming)
        return;
    incoming->deadline_ms = now_ms + time_ms;
    incoming->patience_ms = now_ms + PATIENCE_MS;
    intake->connections[intake->count++] = incoming;
}

static void answer_error(struct incoming *incoming, int status, const char *why)
{
    answer_refuse(incoming->fd, &incoming->request, status, why);
    incoming_linger(incoming);
    incoming->deadline_ms = clock_now_ms() + LINGER_MS;
}

static enum incoming_progress take_head(const struct intake *intake, struct incoming *incoming, int *status)
{
    const char *why = NULL;

    *status = routes_check(intake->workers->node, &incoming->request, &why);
    if (*status == 0)
        return incoming_read_body(incoming, status);
    answer_error(incoming, *status, why);
    return INCOMING_MORE;
}

/* Returns whether the connection stays in the list. */
static bool read_from(struct intake *intake, struct incoming *incoming)
{
    int status;
    enum incoming_progress progress = incoming_read(incoming, &status);

    if (progress == INCOMING_HEAD)
        progress = take_head(intake, incoming, &status);
    if (progress == INCOMING_BAD)
        answer_error(incoming, status, incoming->request.error);
    if (progress == INCOMING_WHOLE)
        workers_add(intake->workers, incoming);
    if (progress == INCOMING_GONE)
        incoming_free(incoming);
    return progress == INCOMING_MORE || progress == INCOMING_BAD;
}

static void end_in_time(struct intake *intake, int64_t now_ms)
{
    for (size_t i = 0; i < intake->count;) {
        struct incoming *incoming = intake->connections[i];
        bool is_due = now_ms >= incoming->deadline_ms;

        if (is_due && incoming->has_begun && !incoming->is_answered) {
            answer_error(incoming, 408, NULL);
        } else if (is_due) {
            drop(intake, i);
            incoming_free(incoming);
            continue;
        }
        i++;
    }
}

/* -- all of them --------------------------------------------------------------------------------- */

/* Workers have answered these connections, which did not become streams. They wait for their clients to close. */
static void take_answered(struct intake *intake, int64_t now_ms)
{
    struct incoming *incoming;

    while (read(intake->workers->answered[0], &incoming, sizeof(incoming)) == (ssize_t)sizeof(incoming)) {
        if (incoming->fd < 0) {
            incoming_free(incoming);
            continue;
        }
        incoming_linger(incoming);
        add(intake, incoming, now_ms, LINGER_MS);
    }
}

/* Returns the connection that has waited longest, because it has had the most time. NULL: all connections are with
 * workers. */
static struct incoming **find_oldest(const struct intake *intake)
{
    struct incoming **oldest = intake->count ? intake->connections : NULL;

    for (size_t i = 1; i < intake->count; i++) {
        if (intake->connections[i]->patience_ms < (*oldest)->patience_ms)
            oldest = &intake->connections[i];
    }
    return oldest;
}

/* The time of the next accept, unless a worker finishes earlier. */
static int64_t room_ms(const struct intake *intake)
{
    struct incoming **oldest;

    if (atomic_load(&intake->totals.count) < intake->connections_max)
        return intake->accept_again_ms;
    oldest = find_oldest(intake);
    if (!oldest)
        return INT64_MAX;
    return (*oldest)->patience_ms > intake->accept_again_ms ? (*oldest)->patience_ms
                                                            : intake->accept_again_ms;
}

static void make_room(struct intake *intake)
{
    struct incoming **oldest = find_oldest(intake);

    if (atomic_load(&intake->totals.count) < intake->connections_max || !oldest)
        return;
    incoming_free(*oldest);
    *oldest = intake->connections[--intake->count];
}

/* The connection stays in the kernel's queue until descriptors are free. */
static void pause_accepting(struct intake *intake, int error, int64_t now_ms)
{
    intake->accept_again_ms = now_ms + ACCEPT_PAUSE_MS;
    if (now_ms >= intake->say_again_ms)
        fprintf(stderr, "redis_hub: cannot accept new connections for now: %s\n", strerror(-error));
    intake->say_again_ms = now_ms + SAY_AGAIN_MS;
}

static void accept_all(struct intake *intake, int64_t now_ms)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && room_ms(intake) <= now_ms; i++) {
        int fd = listener_accept(intake->listener);

        if (fd == -ECONNABORTED)
            continue;
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            pause_accepting(intake, fd, now_ms);
            return;
        }
        make_room(intake);
        add(intake, incoming_new(&intake->totals, fd), now_ms, REQUEST_MS);
    }
}

/* Returns the time until the next deadline. */
static int fill_polls(struct intake *intake, int64_t now_ms)
{
    int64_t next_ms = room_ms(intake);
    bool accepts = next_ms <= now_ms;

    if (accepts)
        next_ms = INT64_MAX;
    intake->polls[POLL_STOP] = (struct pollfd){.fd = intake->stop[0], .events = POLLIN};
    intake->polls[POLL_ANSWERED] = (struct pollfd){.fd = intake->workers->answered[0], .events = POLLIN};
    intake->polls[POLL_LISTENER] = (struct pollfd){.fd = accepts ? intake->listener : -1, .events = POLLIN};
    for (size_t i = 0; i < intake->count; i++) {
        const struct incoming *incoming = intake->connections[i];

        intake->polls[POLL_CONNECTIONS + i] = (struct pollfd){.fd = incoming->fd, .events = POLLIN};
        if (incoming->deadline_ms < next_ms)
            next_ms = incoming->deadline_ms;
    }
    if (next_ms == INT64_MAX)
        return -1;
    return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

static void take_input(struct intake *intake)
{
    /* Goes backwards, because a dropped connection is replaced by the last one. */
    for (size_t i = intake->count; i > 0; i--) {
        if (intake->polls[POLL_CONNECTIONS + i - 1].revents && !read_from(intake, intake->connections[i - 1]))
            drop(intake, i - 1);
    }
}

/* Treats all connections as without input, and waits a moment for the end. */
static void wait_a_little(struct intake *intake)
{
    for (size_t i = 0; i < POLL_CONNECTIONS + intake->count; i++)
        intake->polls[i].revents = 0;
    (void)poll(&intake->polls[POLL_STOP], 1, ACCEPT_PAUSE_MS);
}

static void *take_all(void *user)
{
    struct intake *intake = user;

    for (;;) {
        int timeout = fill_polls(intake, clock_now_ms());
        int64_t now_ms;

        /* poll can fail: the system may be out of memory, or the limit of descriptors may have been lowered. */
        if (poll(intake->polls, (nfds_t)(POLL_CONNECTIONS + intake->count), timeout) < 0)
            wait_a_little(intake);
        now_ms = clock_now_ms();
        if (intake->polls[POLL_STOP].revents)
            return NULL;
        take_input(intake);
        end_in_time(intake, now_ms);
        take_answered(intake, now_ms);
        if (intake->polls[POLL_LISTENER].revents)
            accept_all(intake, now_ms);
    }
}

int intake_start(struct intake *intake, struct workers *workers, int listener, size_t connections_max)
{
    int error;

    *intake = (struct intake){.workers = workers, .listener = listener, .connections_max = connections_max};
    intake->connections = calloc(connections_max, sizeof(struct incoming *));
    intake->polls = calloc(POLL_CONNECTIONS + connections_max, sizeof(*intake->polls));
    error = !intake->connections || !intake->polls ? -ENOMEM : pipe(intake->stop) < 0 ? -errno : 0;
    if (error)
        return error;
    error = -pthread_create(&intake->thread, NULL, take_all, intake);
    if (error) {
        close(intake->stop[0]);
        close(intake->stop[1]);
    }
    return error;
}

void intake_stop(struct intake *intake)
{
    close(intake->stop[1]);
    pthread_join(intake->thread, NULL);
    close(intake->stop[0]);
    while (intake->count)
        incoming_free(intake->connections[--intake->count]);
}

void intake_close(struct intake *intake)
{
    free(intake->connections);
    free(intake->polls);
}

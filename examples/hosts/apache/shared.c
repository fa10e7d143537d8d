/* SPDX-License-Identifier: MIT */
/* SseShared: the processes of Apache share their events by a ring, examples/workers/ring.h. */
#include "mod_sse.h"

#include "../../workers/ring_reader.h"

#include <http_core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define AGAIN_MS 100
/* A process that was killed may keep its place until another one begins. */
#define READERS_SPARE 16
/* What an event takes in a queue, beside its own bytes. */
#define ID_LINE_SIZE (RING_ID_SIZE + sizeof("id: "))

static struct ring *ring;

/* The thread that brings the ring's events to the registry of this process. */
static struct {
    struct sse_registry *registry;
    struct ring_reader *reader;
    pthread_t thread;
    int stop; /* an eventfd */
    int signals;
} follower;

/* -- the ring ------------------------------------------------------------------------------- */

/* Not at a restart: processes of before still use the ring, and clients come back with its ids. */
static apr_status_t free_ring(void *kept)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        ring_free(ring);
        *(struct ring **)kept = NULL;
    }
    return APR_SUCCESS;
}

/* A restart loads this module anew, so Apache keeps the pointer. */
int shared_create(apr_pool_t *pool, int processes)
{
    static const char key[] = "mod_sse ring";
    const struct ring_options options = {.events = HISTORY_EVENTS,
                                         .event_bytes = QUEUE_BYTES - ID_LINE_SIZE,
                                         .readers = (size_t)processes + READERS_SPARE};
    struct ring **kept = ap_retained_data_get(key);
    int error = 0;

    if (!kept)
        kept = ap_retained_data_create(key, sizeof(*kept));
    if (!*kept)
        error = ring_create(kept, &options);
    ring = *kept;
    apr_pool_cleanup_register(pool, kept, free_ring, apr_pool_cleanup_null);
    return error;
}

/* -- a process ------------------------------------------------------------------------------ */

/* Until the process ends. Under mpm_prefork this thread is also the one that ends the stream, and nobody
 * waits for it. */
static void *follow(void *unused)
{
    struct pollfd polls[] = {{.fd = follower.stop, .events = POLLIN},
                             {.fd = follower.signals, .events = POLLIN},
                             {.fd = ring_reader_fd(follower.reader), .events = POLLIN}};
    int result = 0;

    while (poll(polls, 3, result < 0 ? AGAIN_MS : -1) < 0 || !(polls[0].revents || polls[1].revents))
        result = ring_reader_drain(follower.reader);
    child_end_streams(follower.registry, prefork_ends_gracefully());
    return unused;
}

static int start_follower(void)
{
    int error;

    follower.stop = eventfd(0, EFD_CLOEXEC);
    follower.signals = prefork_open_signals();
    if (follower.stop < 0 || (child.is_prefork && follower.signals < 0))
        return -errno;
    error = child_start_thread(&follower.thread, follow, NULL);
    if (!error && child.is_prefork)
        pthread_detach(follower.thread);
    return error;
}

static void close_follower(void)
{
    if (follower.stop >= 0)
        close(follower.stop);
    if (follower.signals >= 0)
        close(follower.signals);
    ring_reader_close(follower.reader);
    follower.reader = NULL;
}

int shared_open(struct sse_registry *registry)
{
    int error = 0;

    follower.registry = registry;
    if (child.is_shared)
        error = ring_reader_open(&follower.reader,
                                 &(struct ring_reader_options){.ring = ring, .registry = registry});
    if (!follower.reader)
        return error;
    error = start_follower();
    if (error)
        close_follower();
    return error;
}

void shared_close(void)
{
    if (!follower.reader)
        return;
    (void)eventfd_write(follower.stop, 1);
    pthread_join(follower.thread, NULL);
    close_follower();
}

/* -- requests ------------------------------------------------------------------------------- */

int shared_new_emitter(struct sse_emitter **emitter, const struct sse_emitter_options *options)
{
    return follower.reader ? ring_reader_stream(follower.reader, emitter, options)
                           : sse_emitter_new(emitter, options, NULL);
}

int shared_publish(struct sse_text topic, const struct sse_event *event)
{
    sigset_t before;
    int error;

    if (!follower.reader)
        return sse_registry_publish(child.registry, topic, event, NULL);
    prefork_hold_signals(&before);
    error = ring_publish(ring, topic, event, NULL);
    prefork_release_signals(&before);
    return error;
}

/* SPDX-License-Identifier: MIT */
#include "loop/serve.h"
#include "connection/due.h"
#include "connection/ending.h"
#include "connection/finish.h"
#include "connection/mark.h"
#include "connection/state.h"
#include "connection/turn.h"
#include "loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* When to look again at an emitter whose timer is due while another thread is busy with it. */
#define LOOK_AGAIN_AFTER NANOSECONDS_PER_MILLISECOND

/* Whether the watched socket has room, or the system cannot tell. The lock is held, so that the program cannot close
 * the socket meanwhile. */
static bool has_room(struct sse_emitter *emitter)
{
    struct pollfd room = {.fd = sse_emitter_descriptor(emitter), .events = POLLOUT};
    bool ready = false;

    pthread_mutex_lock(&emitter->lock);
    if (emitter->state != SSE_STATE_CLOSED)
        ready = poll(&room, 1, 0) != 0;
    pthread_mutex_unlock(&emitter->lock);
    return ready;
}

static bool must_ask(struct sse_loop *loop, const struct sse_emitter *emitter)
{
    bool must;

    pthread_mutex_lock(&loop->lock);
    must = sse_watches_must_ask(&loop->watches, emitter);
    pthread_mutex_unlock(&loop->lock);
    return must;
}

/* Asks the poller for room if the output is full. If the socket of a write callback has room, the room may have
 * come after the callback found it full. So the poller is asked, which reports the room, and the callback tries
 * again. If that writes nothing twice, it waits for something else, and the program calls sse_emitter_flush. */
static void ask_for_room(struct sse_loop *loop, struct sse_emitter *emitter, bool blocked)
{
    bool ask = blocked;

    if (emitter->output_kind == OUTPUT_CALLBACK && blocked)
        ask = !has_room(emitter) || must_ask(loop, emitter);
    /* Other threads may read it together with the bits beside it. */
    pthread_mutex_lock(&emitter->lock);
    emitter->asked_for_room = ask;
    pthread_mutex_unlock(&emitter->lock);
    pthread_mutex_lock(&loop->lock);
    sse_watches_ask(&loop->watches, emitter, loop->poller);
    pthread_mutex_unlock(&loop->lock);
}

/* Why the client is gone. What the network reports of it can be any errno, such as -EHOSTDOWN. */
static int error_of_socket(int descriptor)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) ||
        sse_reason_of_output_error(-error) != SSE_REASON_DISCONNECTED)
        return -ECONNRESET;
    return -error;
}

/* Discards the input of a client whose socket the library writes to. Lock of the emitter held; released
 * meanwhile. */
static void read_input(struct sse_emitter *emitter, uint64_t now)
{
    int result;

    emitter->has_input = false;
    if (emitter->half_closed)
        return;
    if (emitter->output_kind != OUTPUT_SOCKET) {
        emitter->half_closed = true;
        sse_emitter_queue_ping(emitter, now);
        return;
    }
    pthread_mutex_unlock(&emitter->lock);
    result = sse_socket_discard(sse_emitter_descriptor(emitter));
    pthread_mutex_lock(&emitter->lock);
    if (result == 1) {
        emitter->has_input = true;
    } else if (!result) {
        emitter->half_closed = true;
        sse_emitter_queue_ping(emitter, now);
    } else if (result != -EAGAIN) {
        (void)sse_emitter_end(emitter, sse_reason_of_output_error(result), result, now);
    }
}

/* Handles what the descriptor has reported. This thread is the busy one, and then no longer. */
static void serve_input(struct sse_emitter *emitter, uint64_t now)
{
    bool gone;

    pthread_mutex_lock(&emitter->lock);
    gone = emitter->is_gone;
    emitter->is_gone = false;
    if (gone)
        (void)sse_emitter_end(emitter, SSE_REASON_DISCONNECTED,
                              error_of_socket(sse_emitter_descriptor(emitter)), now);
    else
        read_input(emitter, now);
    emitter->busy = false;
    pthread_mutex_unlock(&emitter->lock);
}

/* Closes the descriptor of an emitter, unless the program has closed it and the number is used again. */
static void close_descriptor(struct sse_loop *loop, struct sse_emitter *emitter)
{
    bool same = true;

    pthread_mutex_lock(&loop->lock);
    if (loop->poller)
        same = sse_watches_is_same_file(&loop->watches, emitter);
    sse_watches_remove(&loop->watches, emitter, loop->poller, loop->platform);
    pthread_mutex_unlock(&loop->lock);
    if (same)
        sse_output_close(sse_emitter_descriptor(emitter), (enum output_kind)emitter->output_kind);
}

void sse_loop_finish_emitter(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t now)
{
    if (!emitter->owned)
        sse_loop_unwatch(loop, emitter);
    sse_emitter_finish(emitter, now);
    if (emitter->owned) {
        close_descriptor(loop, emitter);
        sse_emitter_owner_is_done(emitter);
    }
    if (sse_emitter_is_done(emitter))
        sse_emitter_release(emitter);
}

static void free_emitter(struct sse_loop *loop, struct sse_emitter *emitter)
{
    pthread_mutex_lock(&loop->lock);
    sse_heap_remove(&loop->heap, &emitter->timer);
    pthread_mutex_unlock(&loop->lock);
    sse_emitter_free(emitter);
}

static void mark_again(struct sse_emitter *emitter)
{
    struct mark_chain chain = {.to_wake = NULL};

    pthread_mutex_lock(&emitter->lock);
    sse_emitter_mark_always(emitter, &chain);
    pthread_mutex_unlock(&emitter->lock);
    sse_mark_chain_finish(&chain);
}

void sse_loop_follow_turn(struct sse_loop *loop, struct sse_emitter *emitter, unsigned result, bool was_due,
                          uint64_t now, struct turn_account *account)
{
    if (result & TURN_INPUT) {
        serve_input(emitter, now);
        result = TURN_INPUT | sse_emitter_turn(emitter, TURN_FOR_INPUT, now, account);
    }
    if (result & TURN_RELEASED) {
        free_emitter(loop, emitter);
        return;
    }
    if (was_due || result & (TURN_SCHEDULE | TURN_ENDED))
        sse_loop_schedule(loop, emitter, was_due ? now + LOOK_AGAIN_AFTER : 0);
    if (emitter->polled && (emitter->asked_for_room || result & (TURN_INPUT | TURN_BLOCKED)))
        ask_for_room(loop, emitter, result & TURN_BLOCKED);
    if (result & TURN_AGAIN)
        mark_again(emitter);
    if (result & TURN_ENDED) {
        /* Whoever waits for the end may look at the numbers then, and free the platform. */
        sse_turn_account_finish(account, now);
        sse_loop_finish_emitter(loop, emitter, now);
    } else if (result & TURN_FINISHED) {
        sse_emitter_release(emitter);
    }
}

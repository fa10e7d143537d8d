/* SPDX-License-Identifier: MIT */
#ifndef SSE_LOOP_H
#define SSE_LOOP_H

/**
 * A loop: it writes, runs timers and runs callbacks for the emitters that are bound to it, in one
 * thread. Create one loop for each thread that serves connections. An emitter is bound to its loop
 * when it is made, and stays there until it is freed.
 *
 * A loop comes in two forms:
 *
 * - Polled: the library waits for the descriptors itself. Give the loop a thread (sse_loop_run), or
 *   put its descriptor into your own event loop (sse_loop_fd and sse_loop_dispatch).
 * - Driven: your own event loop waits. It calls sse_loop_turn when the time that the last turn
 *   returned is over, and after `on_wake`.
 *
 * A loop knows no registries: its emitters may belong to several registries, or to none.
 *
 * Threads: one thread at a time may be inside sse_loop_run, dispatch or turn of one loop; another one
 * gets -EBUSY. Its work is not lost: the turn that runs returns 0, or `on_wake` comes again. The thread
 * inside is the thread of the loop. Every callback and every write callback of the loop's emitters runs
 * inside those calls, and inside sse_loop_free. It runs nowhere else, except an `on_release` that is still
 * owed after sse_loop_free.
 *
 * A turn is fair. It serves the emitters that have work when it begins, each once, and writes a limited
 * number of messages to each. Work that comes during the turn, or is left over, waits for the next turn,
 * which is due at once.
 */

#include <sse/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_loop;

/** What a polled loop waits with. */
enum sse_poller {
    SSE_POLLER_BEST = 0, /**< epoll if the library was built with it, otherwise poll */
    SSE_POLLER_POLL = 1, /**< poll(2) */
    SSE_POLLER_EPOLL = 2 /**< epoll(7); -ENOTSUP if the library was built without it */
};

/** Options of a loop. Copied by sse_loop_new. */
struct sse_loop_options {
    size_t size;                         /**< sizeof(struct sse_loop_options) */
    const struct sse_platform *platform; /**< not copied: see <sse/platform.h> */
    /** Who waits, if `on_wake` is NULL. */
    enum sse_poller poller;
    /**
     * If set, the loop is driven. The library calls it when a turn is due earlier than the last turn
     * returned, at most once between two turns. A new loop counts as if its last turn had returned -1.
     *
     * - It may run inside any call on an emitter or a registry, in any thread, the loop's own included.
     *   No lock of the library is held. One that is about to be called when a turn begins comes later, and counts
     *   for nothing: the turn has done what it was for.
     * - It is the only code of yours that publishing can reach. Make it wake your event loop (an eventfd, a
     *   pipe, uv_async_send), and nothing else. It must not call sse_loop_turn or sse_loop_free.
     * - Work that comes during a turn makes that turn return 0, or `on_wake` comes after it. Clear
     *   your eventfd or pipe before you call sse_loop_turn, not after it.
     */
    void (*on_wake)(struct sse_loop *loop, void *user);
    void *user; /**< passed to `on_wake` */
};

/**
 * Makes a loop. `options` may be NULL: then it is polled, with every default.
 *
 * Ownership: `*loop` is yours: free it with sse_loop_free. A polled loop keeps up to four descriptors.
 * Threads: any. Callbacks: may call it.
 * Errors, with *loop unchanged:
 * - -EINVAL: `loop` is NULL, or an option is not valid.
 * - -ENOTSUP: epoll was asked for, and the library was built without it.
 * - -ENOMEM.
 * - -EMFILE, -ENFILE: no descriptor is left.
 * - -ENOSPC: the system cannot watch more descriptors.
 * Example:
 *
 *     struct sse_loop *loop;
 *     int error = sse_loop_new(&loop, NULL);
 *     if (!error)
 *         error = sse_loop_run(loop);
 */
SSE_API int sse_loop_new(struct sse_loop **loop, const struct sse_loop_options *options);

/**
 * Ends a loop, and every emitter that is still bound to it (SSE_REASON_CLOSED, -ECANCELED). NULL is
 * ignored. To end streams gracefully, complete them first and run the loop until it is empty:
 * sse_loop_finish.
 *
 * Effect: no new emitter can be bound (-ECONNREFUSED). The remaining emitters end, their callbacks
 * run (`on_ready` first, so that a suspended connection ends), and descriptors that the library owns are
 * closed. References that you hold stay yours; an `on_release` that is still owed then runs in the thread
 * that releases the last one.
 * Threads: any thread, while none is inside another function of this loop, or in sse_emitter_new with
 * it. Other threads may still publish and send: the call waits for those that are waking this loop or are
 * inside an output, so do not hold a lock that `on_wake` takes. Callbacks: must not call it for their own
 * loop. Errors: none.
 */
SSE_API void sse_loop_free(struct sse_loop *loop);

/**
 * Polled: waits and serves until sse_loop_stop, or until the loop is empty after sse_loop_finish.
 *
 * Returns 0. One stop ends one run; a stop before the run makes it return at once.
 * Callbacks: must not call it (-EDEADLK).
 * Errors:
 * - -EINVAL: NULL, or the loop is driven.
 * - -EDEADLK: called from inside a turn of this loop. -EBUSY: another thread is inside.
 * - The errors of poll(2) or epoll_wait(2) that do not pass.
 */
SSE_API int sse_loop_run(struct sse_loop *loop);

/**
 * Makes sse_loop_run return: the one that is running, or else the next one. Emitters stay as they are.
 *
 * Threads: any. This is the only function of the library that a signal handler may call.
 * Callbacks: may call it. Errors: -EINVAL: NULL, or the loop is driven.
 */
SSE_API int sse_loop_stop(struct sse_loop *loop);

/**
 * Makes sse_loop_run return as soon as the loop has no emitters: now, or when the last one is freed.
 * An emitter is bound until it has ended, its callbacks have run, and every reference is released. No
 * new emitter can be bound from now on (-ECONNREFUSED).
 *
 * It ends nobody: use it after sse_registry_shutdown or sse_registry_complete. In a driven loop,
 * sse_loop_turn returns -1 and sse_loop_count 0 when the loop is empty.
 * Threads: any. Callbacks: may call it. Errors: -EINVAL: NULL.
 */
SSE_API int sse_loop_finish(struct sse_loop *loop);

/**
 * Returns how many emitters are bound to the loop. 0 for NULL.
 *
 * Threads: any. Callbacks: may call it. Errors: none.
 */
SSE_API size_t sse_loop_count(struct sse_loop *loop);

/**
 * Polled: waits until there is work, but no longer than `timeout_ms` milliseconds (0: does not wait,
 * -1: no limit), then serves one turn. The wait ends early when a timer is due.
 *
 * Callbacks: must not call it (-EDEADLK).
 * Errors: as sse_loop_run; also -EINVAL: `timeout_ms` is below -1.
 */
SSE_API int sse_loop_dispatch(struct sse_loop *loop, int timeout_ms);

/**
 * Polled: returns a descriptor that is readable while sse_loop_dispatch has something to do, timers
 * included. Wait for it in your own event loop (a GSource, uv_poll_t, QSocketNotifier), level-triggered,
 * and then call sse_loop_dispatch(loop, 0). You need no timer of your own.
 *
 * Ownership: the descriptor stays the loop's: do not read it and do not close it. It never changes.
 * Threads: any. Callbacks: may call it.
 * Errors: -EINVAL: NULL, or the loop is driven. -ENOTSUP: the loop uses poll(2), or the system has no
 * timerfd: run the loop in a thread, or dispatch at short intervals. -EMFILE, -ENFILE, -ENOMEM, -ENOSPC: the
 * first call needs a descriptor for the timer, and watches it.
 * Example:
 *
 *     struct pollfd ready = {.fd = sse_loop_fd(loop), .events = POLLIN};
 *     while (!error && poll(&ready, 1, -1) > 0)
 *         error = sse_loop_dispatch(loop, 0);
 */
SSE_API int sse_loop_fd(struct sse_loop *loop);

/**
 * Driven: runs the timers that are due, writes what is queued, and runs callbacks, once.
 *
 * Returns the milliseconds until the next turn is due, rounded up: 0 if work is left, -1 if no turn is
 * due before `on_wake`. This is the form that poll(2) takes.
 * Callbacks: must not call it (-EDEADLK).
 * Errors:
 * - -EINVAL: NULL, or the loop is polled.
 * - -EDEADLK: called from inside a turn of this loop. -EBUSY: another thread is inside.
 * Example:
 *
 *     int timeout_ms = sse_loop_turn(loop);
 *     while (timeout_ms >= 0 && poll(fds, count, timeout_ms) >= 0)
 *         timeout_ms = sse_loop_turn(loop);
 */
SSE_API int sse_loop_turn(struct sse_loop *loop);

#ifdef __cplusplus
}
#endif

#endif

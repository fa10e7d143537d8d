/* SPDX-License-Identifier: MIT */
#ifndef SSE_LOOP_H
#define SSE_LOOP_H

/**
 * A loop: it writes, runs timers and runs callbacks for the emitters that are bound to it, in one
 * thread. Create one loop for each thread that serves connections. An emitter is bound to its loop
 * when it is made, and stays bound until it is freed.
 *
 * A loop comes in two forms:
 *
 * - Polled: the library waits for the descriptors itself. Give the loop a thread (sse_loop_run), or
 *   put its descriptor into your own event loop (sse_loop_fd and sse_loop_dispatch).
 * - Driven: your own event loop waits. It calls sse_loop_turn when the time that the last turn
 *   returned is over, and after `on_wake`.
 *
 * The emitters of a loop may belong to several registries, or to none.
 *
 * Threads: only one thread at a time may be inside sse_loop_run, dispatch or turn of one loop. It is the thread of
 * the loop.
 *
 * - Another thread that calls one of them gets -EBUSY. No work is lost by that: the turn that runs returns 0, or
 *   `on_wake` is called again.
 * - Every callback and every write callback of the loop's emitters runs inside those calls, or inside
 *   sse_loop_free. The only exception is an `on_release` that is still due after sse_loop_free.
 *
 * A turn is fair. It serves each emitter that has work when the turn begins, once, and writes a limited number of
 * messages to it. Work that comes during the turn, or is left, is done in the next turn, which is due at once.
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
    /** What a polled loop waits with. */
    enum sse_poller poller;
    /**
     * If it is set, the loop is driven. The library calls it when the next turn has become due earlier than the
     * last turn said, at most once between two turns. A new loop counts as if its last turn had returned -1.
     *
     * - Wake your event loop in it (an eventfd, a pipe, uv_async_send), and do nothing else. It must not call
     *   sse_loop_turn or sse_loop_free.
     * - Clear your eventfd or pipe before you call sse_loop_turn, not after it. Work that comes during a turn makes
     *   that turn return 0, or `on_wake` is called after it. Exception: an eventfd in epoll with EPOLLET need not
     *   be cleared. A pipe must always be cleared: otherwise it becomes full, and wakes are lost.
     * - Make the eventfd or the pipe non-blocking.
     * - It may run inside any call on an emitter or a registry, in any thread, the loop's own included.
     *   No lock of the library is held. It is the only code of yours that publishing can run.
     * - If a turn begins while another thread is about to call `on_wake`, the call may come although that turn does
     *   the work. Such a call is harmless, and does not count as the one call between two turns.
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
 * Ends a loop, and every emitter that is still bound to it. NULL is ignored. To end streams gracefully,
 * complete them first and run the loop until it is empty: see sse_loop_finish.
 *
 * Effect: no new emitter can be bound (-ECONNREFUSED). The remaining emitters end with SSE_REASON_CLOSED and
 * -ECANCELED, their callbacks run (`on_ready` first, so that a suspended connection ends), and descriptors that
 * the library owns are closed. References that you hold stay yours. An `on_release` that is still due then runs in
 * the thread that releases the last one.
 * Threads: any thread, while none is inside another function of this loop, or in sse_emitter_new with
 * it. Other threads may still publish and send. The call waits for a thread that is waking this loop or is
 * inside an output, so do not hold a lock that `on_wake` takes.
 * Callbacks: must not call it for their own loop.
 * Errors: none.
 */
SSE_API void sse_loop_free(struct sse_loop *loop);

/**
 * Polled: waits and serves until sse_loop_stop, or until the loop is empty after sse_loop_finish. Then returns 0.
 *
 * One stop ends one run. A stop before the run makes it return at once.
 * Callbacks: must not call it.
 * Errors:
 * - -EINVAL: `loop` is NULL, or the loop is driven.
 * - -EDEADLK: called from inside a turn of this loop.
 * - -EBUSY: another thread is inside.
 * - An error of poll(2) or epoll_wait(2) that would come again. An interruption (EINTR) is not an error.
 */
SSE_API int sse_loop_run(struct sse_loop *loop);

/**
 * Makes sse_loop_run return: the one that is running, or else the next one. Emitters stay as they are.
 *
 * Threads: any. This is the only function of the library that a signal handler may call.
 * Callbacks: may call it.
 * Errors:
 * - -EINVAL: `loop` is NULL, or the loop is driven.
 */
SSE_API int sse_loop_stop(struct sse_loop *loop);

/**
 * Makes sse_loop_run return as soon as the loop is empty: now, or when its last emitter is freed. An emitter is
 * freed when it has ended, its callbacks have run, and every reference is released.
 *
 * - From now on no new emitter can be bound (-ECONNREFUSED).
 * - The call ends no emitter. Use it after sse_registry_shutdown or sse_registry_complete.
 * - A driven loop is empty when sse_loop_count returns 0. Then sse_loop_turn returns -1.
 * Threads: any. Callbacks: may call it.
 * Errors:
 * - -EINVAL: `loop` is NULL.
 */
SSE_API int sse_loop_finish(struct sse_loop *loop);

/**
 * Returns how many emitters are bound to the loop. 0 for NULL. An emitter that another thread is making counts
 * already, although sse_emitter_new may still fail. If it fails, the loop is woken only if sse_loop_finish was
 * called before.
 *
 * Threads: any. Callbacks: may call it. Errors: none.
 */
SSE_API size_t sse_loop_count(struct sse_loop *loop);

/**
 * Polled: waits until there is work or a timer is due, then serves one turn. It waits no longer than `timeout_ms`
 * milliseconds. 0 does not wait, -1 waits without a limit. Returns 0, whether work is left or not.
 *
 * Callbacks: must not call it.
 * Errors:
 * - Every error of sse_loop_run.
 * - -EINVAL: `timeout_ms` is below -1.
 */
SSE_API int sse_loop_dispatch(struct sse_loop *loop, int timeout_ms);

/**
 * Polled: returns a descriptor that is readable while sse_loop_dispatch has something to do, timers
 * included. Wait for it in your own event loop (a GSource, uv_poll_t, QSocketNotifier), level-triggered,
 * and then call sse_loop_dispatch(loop, 0). You need no timer for that.
 *
 * Ownership: the descriptor stays the loop's: do not read it and do not close it. It never changes.
 * Threads: any. Callbacks: may call it.
 * Errors:
 * - -EINVAL: `loop` is NULL, or the loop is driven.
 * - -ENOTSUP: the loop uses poll(2), or the system has no timerfd. Run the loop in a thread, or dispatch at
 *   short intervals.
 * - -EMFILE, -ENFILE, -ENOMEM, -ENOSPC: the first call opens a descriptor for the timer and watches it, and that
 *   failed.
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
 * due before `on_wake`. You can pass the result to poll(2). Errors are below -1, except in a forked child: there the
 * result is -EPERM, which is -1. Between poll and the next turn, clear the pipe of `on_wake` and serve what is ready.
 * Callbacks: must not call it.
 * Errors:
 * - -EINVAL: `loop` is NULL, or the loop is polled.
 * - -EDEADLK: called from inside a turn of this loop.
 * - -EBUSY: another thread is inside.
 * Example:
 *
 *     int timeout_ms = sse_loop_turn(loop);
 *     while (timeout_ms >= -1) {
 *         int ready = poll(fds, count, timeout_ms);
 *         if (ready < 0 && errno != EINTR)
 *             break;
 *         timeout_ms = sse_loop_turn(loop);
 *     }
 */
SSE_API int sse_loop_turn(struct sse_loop *loop);

#ifdef __cplusplus
}
#endif

#endif

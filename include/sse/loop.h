/* SPDX-License-Identifier: MIT */
#ifndef SSE_LOOP_H
#define SSE_LOOP_H

/**
 * A driver for descriptors: it writes when they are writable, notices clients that leave, and runs
 * the timers. Optional: it uses the public headers only, and a host with a loop of its own can do
 * the same with them.
 *
 * Hand it an emitter and its socket, and forget both. Run it in a thread of its own, or inside
 * another loop by its descriptor.
 */

#include <sse/registry.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sse_loop;

/** What the loop waits with. */
enum sse_poller {
    SSE_POLLER_BEST = 0, /**< epoll where the library was built with it, else poll */
    SSE_POLLER_POLL = 1, /**< poll(2) */
    SSE_POLLER_EPOLL = 2 /**< epoll(7); -ENOTSUP where the library was built without */
};

/** What a loop is made of. All members but `size` may be zero. Copied by sse_loop_new. */
struct sse_loop_options {
    size_t size;                 /**< sizeof(struct sse_loop_options) */
    const struct sse_host *host; /**< not copied: see <sse/host.h> */
    enum sse_poller poller;
    /** The loop holds the registry (sse_registry_hold, whose limits apply): what is published, by any
     *  thread, wakes the loop, which writes it all in its next round, and counts as queued. While nobody
     *  runs the loop, events wait; sse_loop_free writes them. The hold is the loop's: a release without a
     *  hold of one's own takes it away. A loop from which another took the wake goes on holding until it is
     *  freed. False: whoever publishes writes. */
    bool cork;
};

/**
 * Makes a loop that drives `registry`: it takes the registry's wake (sse_registry_set_wake) until
 * it is freed, and ticks it. `options` may be NULL.
 *
 * Ownership: `*loop` is the caller's, for sse_loop_free. The loop holds a reference to the
 * registry, which has one loop at a time: a second takes the wake from the first. It keeps three
 * descriptors or fewer.
 * Threads: any. Hooks: may call.
 * Errors, *loop untouched: -EINVAL (NULL, unknown size, unknown poller), -ENOTSUP (epoll where it
 * was not built), -ENOMEM, -EMFILE, -ENFILE.
 */
SSE_API int sse_loop_new(struct sse_loop **loop, struct sse_registry *registry,
                         const struct sse_loop_options *options);

/**
 * Ends the loop. Every emitter that is still in it is detached (reason DETACHED), and its descriptor
 * closed. NULL is nothing.
 *
 * Threads: no other thread may be inside the loop's functions, and none may call them any more.
 * Hooks: not from a hook that runs inside sse_loop_dispatch or sse_loop_run. Errors: none.
 */
SSE_API void sse_loop_free(struct sse_loop *loop);

/**
 * Hands over an emitter with the drain FD, and its descriptor. The emitter must be in the loop's
 * registry.
 *
 * Effect: from now on the loop flushes it when the descriptor is writable; reads and throws away
 * what the client sends; ends it (PEER_GONE) when the client has left, which it notices without an
 * event being sent, while a client that only closed its sending side goes on receiving (to tell the
 * two apart it is sent a comment, which counts as an event); and when
 * the emitter has ended, for whatever reason, it detaches it, closes the descriptor and gives the
 * reference back.
 * Ownership: on success the descriptor and the caller's reference to the emitter belong to the
 * loop; on an error both stay the caller's. O_NONBLOCK is set on a socket.
 * Threads: any. Hooks: may call.
 * Errors: -EINVAL (NULL, another drain than FD, not in the loop's registry), -EEXIST (the
 * descriptor is in the loop), -ENOMEM, -EPERM and -ENOSPC (of epoll_ctl: a regular file, too many).
 * -EBADF (the descriptor is not open). An emitter that has ended already is accepted, and closed in the
 * next dispatch. One that is taken out of the registry meanwhile no longer tells the loop of its end.
 */
SSE_API int sse_loop_add(struct sse_loop *loop, struct sse_emitter *emitter);

/**
 * Waits and dispatches until sse_loop_stop. For a host that gives the loop a thread.
 *
 * Returns 0 after a stop. One stop ends one run; a stop before the run ends it at once.
 * Threads: one at a time in run or dispatch. Hooks: not from a hook that runs inside it (-EDEADLK).
 * Errors: -EINVAL (NULL), -EDEADLK, and those of the system's wait, which do not pass.
 */
SSE_API int sse_loop_run(struct sse_loop *loop);

/**
 * Makes sse_loop_run return, the one that runs or else the next.
 *
 * Threads: any; also from a signal handler (async-signal-safe, the only function of the library
 * that is). Hooks: may call. Errors: -EINVAL (NULL).
 */
SSE_API int sse_loop_stop(struct sse_loop *loop);

/**
 * A descriptor that becomes readable when sse_loop_dispatch has something to do, for a host that
 * has a loop of its own. It stays the same, and the loop's: do not read from it or close it.
 *
 * Threads: any. Hooks: may call. Errors: -EINVAL (NULL), -ENOTSUP (the poller is poll, which has no
 * such descriptor: run it in a thread, or dispatch with a short timeout).
 */
SSE_API int sse_loop_fd(struct sse_loop *loop);

/**
 * Milliseconds until sse_loop_dispatch has something to do without the descriptor becoming
 * readable, rounded up; -1 never.
 *
 * Threads: that of the dispatch. Hooks: may call. Errors: -EINVAL (NULL).
 */
SSE_API int sse_loop_next_timeout(struct sse_loop *loop);

/**
 * Waits up to `timeout_ms` milliseconds (0: not at all, -1: until something happens), then does all
 * that there is to do, once: writes, departures, timers.
 *
 * Threads: one at a time in run or dispatch. Hooks: not from a hook that runs inside it (-EDEADLK).
 * Errors: -EINVAL (NULL, timeout below -1), -EDEADLK, and those of the system's wait.
 */
SSE_API int sse_loop_dispatch(struct sse_loop *loop, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SSE_HOST_H
#define SSE_HOST_H

/**
 * What the library asks of the program that it lives in: memory, time and chance.
 *
 * Every object takes a `const struct sse_host *`; NULL means malloc and free, CLOCK_MONOTONIC,
 * and random bits from /dev/urandom.
 */

#include <sse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The functions of a host. Leave a member NULL for its default; `allocate` and `release` go
 * together.
 *
 * Ownership: the struct is not copied, because every message and emitter would pay for it. It
 * must stay valid and unchanged until the last object made with it is gone; a static const
 * struct is the usual way.
 * Threads: the functions may be entered by several threads at once.
 * Locks: the functions may be called while the library holds a lock. They must not block for
 * long and must not call the library. This is the one exception to the rule that no code of the
 * host runs under a lock, and it covers these four functions alone, never hooks or sinks.
 */
struct sse_host {
    size_t size; /**< sizeof(struct sse_host) */

    /** Returns `size` bytes aligned for any type, or NULL. */
    void *(*allocate)(size_t size, void *user);
    /** Gives back what `allocate` returned; never called with NULL. */
    void (*release)(void *block, void *user);
    /** Nanoseconds of a clock that never goes back. Read at most once in a public call, except
     *  in sse_emitter_wait, which blocks, and in a publish that wrote, which tells the statistics how
     *  long that took. */
    uint64_t (*now)(void *user);
    /** 64 random bits: the seed of hash tables, and the jitter of timers. */
    uint64_t (*random)(void *user);

    void *user;
};

#ifdef __cplusplus
}
#endif

#endif

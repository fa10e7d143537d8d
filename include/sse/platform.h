/* SPDX-License-Identifier: MIT */
#ifndef SSE_PLATFORM_H
#define SSE_PLATFORM_H

/**
 * A platform: functions for memory, time and random bits that your program supplies, such as another allocator
 * or a clock that a test controls. Give it to each object that is to use it: as the option `platform` of the
 * registry, of the loop and of each emitter, and as an argument of sse_message_new. No object takes it over from
 * another one.
 */

#include <sse/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The functions of a platform. In place of a member that is NULL the library uses malloc and free,
 * CLOCK_MONOTONIC, or bits from /dev/urandom. Set `allocate` and `deallocate` together, or neither.
 *
 * Ownership: the library does not copy the struct. It must stay valid and unchanged until the last
 * object made with it is freed. A static const struct is usual.
 * Threads: several threads may call the functions at once. They run with cancellation disabled.
 * Locks: the library may hold a lock during the call. The functions must not block for long and must
 * not call the library. No other function of your program runs under a lock of the library.
 */
struct sse_platform {
    size_t size; /**< sizeof(struct sse_platform) */

    /** Returns `size` bytes aligned for any type, or NULL. */
    void *(*allocate)(size_t size, void *user);
    /** Frees what `allocate` returned. It is never called with NULL. */
    void (*deallocate)(void *block, void *user);
    /**
     * Returns the nanoseconds of a clock that never goes back. A registry, its emitters and their loops must have
     * the same clock. A public call reads it at most once. Exceptions:
     *
     * - sse_loop_run, dispatch and turn read it once for every 64 emitters that they serve.
     * - sse_emitter_wait reads it each time that it wakes up.
     */
    uint64_t (*now)(void *user);
    /** Returns 64 random bits, which seed hash tables and spread timers. */
    uint64_t (*random)(void *user);

    void *user;
};

#ifdef __cplusplus
}
#endif

#endif

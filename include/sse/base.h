/* SPDX-License-Identifier: MIT */
#ifndef SSE_BASE_H
#define SSE_BASE_H

/**
 * What every other header needs: visibility, text, errors, version.
 *
 * Errors. A function that can fail returns a negative errno. There is no global and no thread-local
 * error state. Each function lists its errors.
 *
 * Options. A struct of options begins with `size`: set it to sizeof the struct, and every other
 * member to zero or to a value. A program and a library of different versions work together: members
 * that the program does not know are zero, and members that the library does not know must be zero,
 * else the call returns -EINVAL.
 *
 * Fork. An emitter, a registry and a loop belong to the process that made them. In a forked child only
 * these functions work on them: those that take and release references, sse_emitter_close,
 * sse_emitter_user and sse_loop_free. They free memory, run no callback but on_release, and close the
 * child's copy of a descriptor that the library owns; the client notices nothing. Every other function that
 * is given one of them returns -EPERM, NULL or 0. Memory that another thread of the parent was using at
 * the fork stays allocated in the child. Messages work everywhere.
 *
 * A child of fork is known by a counter that a handler of pthread_atfork increments. It is the only state of
 * the library that belongs to no object. It is registered when the first object is made. Handlers for the
 * child run in the order in which they were registered: one that your program registered before must not call
 * the library, which would take the child for the parent. A child of vfork, _Fork or clone(2) is not known
 * either: let it call execve or _exit, and no function of the library.
 *
 * Cancellation. No function is a cancellation point, except sse_loop_run and sse_loop_dispatch while
 * they wait. Callbacks run with cancellation disabled.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SSE_API __attribute__((visibility("default")))
#else
#define SSE_API
#endif

#define SSE_VERSION_MAJOR 0
#define SSE_VERSION_MINOR 2
#define SSE_VERSION_PATCH 0

/**
 * The stream has ended gracefully, or it is draining and accepts no more events. wait, peek and read
 * return it after the last byte.
 *
 * After any other end, calls on the emitter return the errno that ended the stream. If that errno is one
 * that such calls use themselves, they return -EIO instead: -EINVAL, -EINTR, -EAGAIN, -EALREADY, -EPERM,
 * -EDEADLK, -EMSGSIZE, -ENOBUFS, -ENOMEM, -EILSEQ, -ERANGE, -EOVERFLOW, SSE_ENDED. The completion record
 * always has the real one.
 */
#define SSE_ENDED (-ENOMSG)

/**
 * Text that may hold any byte and need not end in NUL.
 *
 * - `ptr` NULL and `len` 0: the text is absent.
 * - `ptr` not NULL and `len` 0: the text is present and empty. The protocol tells the two apart.
 * - `ptr` NULL and `len` not 0: every function refuses it with -EINVAL.
 *
 * The library does not keep `ptr` after the call.
 */
struct sse_text {
    const char *ptr;
    size_t len; /**< bytes */
};

/**
 * Makes a text from a NUL-terminated string. NULL makes an absent text.
 *
 * Ownership: the text points into the string. Threads: any. Callbacks: may call it. Errors: none.
 */
static inline struct sse_text sse_str(const char *string)
{
    struct sse_text text;
    text.ptr = string;
    text.len = string ? strlen(string) : 0;
    return text;
}

/**
 * Returns the version of the linked library, as "MAJOR.MINOR.PATCH". The macros above are the
 * version of the headers.
 *
 * Ownership: a static string. Threads: any. Callbacks: may call it. Errors: none.
 */
SSE_API const char *sse_version(void);

#ifdef __cplusplus
}
#endif

#endif

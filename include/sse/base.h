/* SPDX-License-Identifier: MIT */
#ifndef SSE_BASE_H
#define SSE_BASE_H

/**
 * What every other header needs: visibility, text, errors, version.
 *
 * Errors. A function that can fail returns a negative errno if it fails. Otherwise it returns 0, unless its comment
 * names another result. There is no global and no thread-local error state. Each function lists its errors.
 * -ENOMEM always means that there is no memory.
 *
 * Options. A struct of options begins with `size`. Set `size` to sizeof the struct, set the members that you
 * need, and set every other member to zero. `size` lets the same function accept a struct of another length, so
 * that a program and a library of different versions work together:
 *
 * - Members that the program does not know count as zero.
 * - Members that the library does not know must be zero. Otherwise the call returns -EINVAL.
 * - `size` does not help if a function itself has changed. Only a minor version before 1.0 may do that. So before
 *   1.0, compile your program again for each minor version.
 *
 * Fork. An emitter, a registry and a loop belong to the process that made them. In a forked child, a function
 * that is given one of them does nothing and returns -EPERM, NULL or 0. Exceptions:
 *
 * - sse_emitter_user works.
 * - sse_emitter_close, sse_loop_free and the functions that take and release references work. They free
 *   memory, and they close the child's copy of a descriptor that the library owns. The client notices nothing.
 *   The only callback that they run is on_release.
 * - Memory that another thread of the parent was using at the fork stays allocated in the child, and its on_release
 *   does not run there.
 * - Messages belong to no process: the child may use them.
 *
 * The library recognises a child of fork by a counter, which a handler of pthread_atfork increments. The counter
 * is the only state of the library that belongs to no object. The library registers the handler when the first
 * object is made.
 *
 * - Handlers for the child run in the order of their registration. A handler that your program registered
 *   earlier must not call the library, because the library still takes the child for the parent.
 * - The library does not recognise a child of vfork, _Fork or clone(2). Such a child must not call the library;
 *   it may only call execve or _exit.
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
 * The stream has ended gracefully, or it is draining and accepts no more events. sse_emitter_wait, peek and
 * read return it after the last byte.
 *
 * After any other end, calls on the emitter return the errno that ended the stream.
 *
 * - If that errno has another meaning as a result of these calls, they return -EIO instead. This concerns
 *   -EINVAL, -EINTR, -EAGAIN, -EALREADY, -EPERM, -EDEADLK, -EMSGSIZE, -ENOBUFS, -ENOMEM, -EILSEQ, -ERANGE,
 *   -EOVERFLOW, -ENOENT, -EBADMSG, -ECONNREFUSED and SSE_ENDED.
 * - The completion record always has the errno itself.
 */
#define SSE_ENDED (-ENOMSG)

/**
 * Text. It may contain any byte, and need not end with NUL. The library does not keep `ptr` after the call. This
 * struct never grows.
 *
 * - `ptr` NULL and `len` 0: the text is absent.
 * - `ptr` not NULL and `len` 0: the text is present and empty. The protocol distinguishes the two.
 * - `ptr` NULL and `len` not 0: every function refuses the text with -EINVAL.
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

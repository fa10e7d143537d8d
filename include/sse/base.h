/* SPDX-License-Identifier: MIT */
#ifndef SSE_BASE_H
#define SSE_BASE_H

/**
 * What every other header needs: visibility, text, version.
 *
 * Errors everywhere in this library are negative errno values; there is no thread-local or
 * global error state.
 *
 * Fork: an emitter, a registry and a loop are for the process that made them. In a forked child every
 * function that is given one does nothing and returns -EPERM, or NULL, false or 0 where its type holds no
 * errno. Only ref, unref, free and sse_emitter_user work there: the last unref frees without
 * running any hook but on_release, and what another thread of the parent was inside of at that
 * moment stays in the child's memory. A child that is forked inside a hook must not return from it.
 * Messages are plain memory, and usable everywhere.
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
#define SSE_VERSION_MINOR 1
#define SSE_VERSION_PATCH 0

/**
 * Text that need not end in NUL and may hold any byte.
 *
 * `ptr == NULL` with `len == 0` means absent. `len == 0` with a pointer means present and empty;
 * the protocol tells the two apart. `ptr == NULL` with a length is refused with -EINVAL.
 * The library never keeps `ptr` past the call that it was passed to.
 */
struct sse_str {
    const char *ptr;
    size_t len; /**< bytes */
};

/**
 * Text from a NUL-terminated string; NULL gives absent text.
 *
 * Ownership: borrows `text`. Threads: any. Hooks: may call. Errors: none.
 */
static inline struct sse_str sse_str(const char *text)
{
    struct sse_str str;
    str.ptr = text;
    str.len = text ? strlen(text) : 0;
    return str;
}

/**
 * The version of the library that is linked, as "MAJOR.MINOR.PATCH"; compare it with the macros
 * above, which are those of the headers.
 *
 * Ownership: a static string. Threads: any. Hooks: may call. Errors: none.
 */
SSE_API const char *sse_version(void);

#ifdef __cplusplus
}
#endif

#endif

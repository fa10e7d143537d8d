/* SPDX-License-Identifier: MIT */
#ifndef SSE_EVENT_H
#define SSE_EVENT_H

/**
 * One event and its bytes on the wire: WHATWG HTML section 9.2.5 and 9.2.6.
 */

#include <sse/base.h>
#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The largest event, in bytes on the wire without chunk framing: 16 MiB. */
#define SSE_EVENT_SIZE_MAX ((size_t)16 << 20)

/** The longest coalescing key, in bytes. */
#define SSE_KEY_SIZE_MAX 1024

/** The largest `retry`, in milliseconds: timers of real clients wrap above it. */
#define SSE_RETRY_MAX INT64_C(2147483647)

/**
 * An event. A designated initialiser is the builder:
 *
 *     struct sse_event event = {.type = sse_str("alarm"), .data = sse_str(text)};
 *
 * The order of the lines on the wire is comment, event, data, id, retry: an event that is torn at
 * the end of a broken stream is then sent again after the reconnect, not skipped. A blank line
 * ends the event if it has data or an id; a comment or a retry alone ends without one.
 */
struct sse_event {
    /** Last event id. No control byte, no DEL, no white space at either end: such an id would
     *  never come back in a header. Present and empty resets the id of the client. Over 128 bytes,
     *  or with one of `"():<>?@[\]{}`, it costs cross-origin clients a preflight request. */
    struct sse_str id;
    /** Event type; absent is the client's "message". No CR, LF or NUL, and not without data. */
    struct sse_str type;
    /** Data, in any line format: CR LF, CR and LF arrive as LF, all else as it is. Present and
     *  empty is an event with data "". */
    struct sse_str data;
    /** Comment, which clients ignore; split at line ends like data. */
    struct sse_str comment;
    /** Reconnection time in milliseconds, 1 to SSE_RETRY_MAX; 0 for none. */
    int64_t retry_ms;
    /** Coalescing key, which is not sent: see SSE_OVERFLOW_COALESCE. Any bytes, up to
     *  SSE_KEY_SIZE_MAX; absent for none. */
    struct sse_str key;
    /** The caller vouches that id, type, data and comment are UTF-8; they are not checked. Line
     *  ends and all other rules are enforced all the same. */
    bool trusted_utf8;
};

/**
 * Checks an event and writes its bytes.
 *
 * Effect: returns the exact size in bytes, and writes that many to `buffer` if it is at least so
 * large; nothing is written otherwise. `buffer` NULL with `size` 0 asks for the size. No NUL is
 * appended.
 * Ownership: borrows everything; pure, without allocation.
 * Threads: any. Hooks: may call.
 * Errors, nothing written: -EINVAL (event NULL; no field at all; a text with a length and no
 * pointer; type without data; a byte that id or type must not hold; buffer NULL with a size),
 * -EILSEQ (not UTF-8), -ERANGE (retry), -EMSGSIZE (over SSE_EVENT_SIZE_MAX, or the key
 * over SSE_KEY_SIZE_MAX), -EOVERFLOW (lengths
 * that no memory can hold; the text is not read).
 * Specification: WHATWG HTML 9.2.5 (format), 9.2.6 (what clients make of it).
 */
SSE_API ssize_t sse_event_encode(const struct sse_event *event, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif

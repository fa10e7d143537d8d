/* SPDX-License-Identifier: MIT */
#ifndef SSE_EVENT_H
#define SSE_EVENT_H

/**
 * One event and its bytes on the wire: WHATWG HTML sections 9.2.5 and 9.2.6.
 */

#include <sse/base.h>
#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The largest event, in bytes on the wire without chunk framing: 16 MiB. */
#define SSE_EVENT_SIZE_MAX ((size_t)16 << 20)

/** The longest event id, in bytes. Clients send it back in a header, and servers refuse long headers: then a
 *  client never comes back. */
#define SSE_ID_SIZE_MAX 512

/** The longest coalescing key, in bytes. */
#define SSE_KEY_SIZE_MAX 1024

/** The largest `retry`, in milliseconds. Timers of real clients overflow above it. */
#define SSE_RETRY_MAX INT64_C(2147483647)

/**
 * An event. A designated initialiser is the builder:
 *
 *     struct sse_event event = {.type = sse_str("alarm"), .data = sse_str(text)};
 *
 * On the wire the lines come in this order: comment, event, data, id, retry. The id follows the data,
 * so a client that received only a part of an event asks for it again. A blank line ends the event if
 * it has data or an id. A comment or a retry alone has no blank line.
 */
struct sse_event {
    /**
     * The event id, which the client sends back as Last-Event-ID. It must not hold a control byte or
     * DEL, or begin or end with white space: a header cannot carry such an id. An empty id resets the
     * id of the client. At most SSE_ID_SIZE_MAX bytes.
     *
     * - An id of more than 128 bytes, or with one of `"():<>?@[\]{}`, makes cross-origin clients send a
     *   preflight request.
     * - Use ASCII: several clients for Node cannot send another id back, and stop reconnecting.
     */
    struct sse_text id;
    /** The event type. Absent: clients see "message". No CR, LF or NUL, and not without data. */
    struct sse_text type;
    /**
     * The data. CR LF, CR and LF arrive as LF, every other byte arrives as it is. Present and empty is
     * an event with the data "".
     */
    struct sse_text data;
    /** A comment, which clients ignore. It is split at line ends, as data is. */
    struct sse_text comment;
    /** The reconnection time in milliseconds, 1 to SSE_RETRY_MAX; 0 for none. */
    int64_t retry_ms;
    /**
     * The coalescing key, which is not sent: see SSE_OVERFLOW_COALESCE. Any bytes, up to
     * SSE_KEY_SIZE_MAX. Absent: none.
     */
    struct sse_text key;
    /**
     * The caller guarantees that id, type, data and comment are UTF-8, so the library does not check
     * it. Every other rule is still checked.
     */
    bool trusted_utf8;
};

/**
 * Checks an event and writes its bytes.
 *
 * Effect: returns the exact size in bytes. Writes the bytes if `size` is at least that large;
 * otherwise writes nothing. `buffer` NULL with `size` 0 asks for the size. Writes no NUL.
 * Ownership: borrows everything. The function is pure and allocates nothing.
 * Threads: any. Callbacks: may call it.
 * Errors, with nothing written:
 * - -EINVAL: `event` is NULL; it has no field; a text has a length and no pointer; a type without
 *   data; a byte that an id or type must not hold; `buffer` NULL with a size.
 * - -EILSEQ: a text is not UTF-8.
 * - -ERANGE: `retry_ms` is out of range.
 * - -EMSGSIZE: the event is larger than SSE_EVENT_SIZE_MAX, the id than SSE_ID_SIZE_MAX, or the key than
 *   SSE_KEY_SIZE_MAX.
 * - -EOVERFLOW: a length is larger than any memory; the text was not read.
 * Specification: WHATWG HTML 9.2.5 (format), 9.2.6 (how clients read it).
 */
SSE_API ssize_t sse_event_encode(const struct sse_event *event, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif

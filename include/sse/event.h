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

/** The longest event id, in bytes. Clients send the id back in a header. If it were longer, a server might
 *  refuse the header, and the client could never reconnect. */
#define SSE_ID_SIZE_MAX 512

/** The longest coalescing key, in bytes. */
#define SSE_KEY_SIZE_MAX 1024

/** The largest `retry`, in milliseconds. Timers of real clients overflow above it. */
#define SSE_RETRY_MAX INT64_C(2147483647)

/**
 * An event. This struct never grows. Fill it in with a designated initialiser:
 *
 *     struct sse_event event = {.type = sse_str("alarm"), .data = sse_str(text)};
 *
 * On the wire the lines come in this order: comment, event, data, id, retry. The id follows the data,
 * so a client that received only a part of an event asks for it again. A blank line ends the event if
 * it has data or an id. Without both, there is no blank line.
 */
struct sse_event {
    /**
     * The event id, at most SSE_ID_SIZE_MAX bytes. The client sends it back as Last-Event-ID.
     *
     * - It must not contain a control byte or DEL, and must not begin or end with white space, because a
     *   header cannot carry such an id.
     * - An empty id clears the id that the client has stored.
     * - An id of more than 128 bytes, or with one of `"():<>?@[\]{}`, makes cross-origin clients send a
     *   preflight request.
     * - Use ASCII. Several clients for Node cannot send another id back, and then stop reconnecting.
     */
    struct sse_text id;
    /** The event type. If it is absent, clients see "message". It must not contain CR, LF or NUL, and it needs
     *  data. */
    struct sse_text type;
    /** The data. CR LF and CR arrive as LF, every other byte arrives unchanged. If it is present and empty, the
     *  client receives an event with the data "". */
    struct sse_text data;
    /** A comment, which clients ignore. It is split at line ends, as data is. */
    struct sse_text comment;
    /** The reconnection time in milliseconds, 1 to SSE_RETRY_MAX; 0: none. */
    int64_t retry_ms;
    /** The coalescing key: see SSE_OVERFLOW_COALESCE. It is not written. Any bytes, up to SSE_KEY_SIZE_MAX;
     *  absent: none. */
    struct sse_text key;
    /** Set it if you know that id, type, data and comment are UTF-8: then the library does not check that. It
     *  still checks every other rule. */
    bool trusted_utf8;
};

/**
 * Checks an event and writes its bytes to `buffer`.
 *
 * Effect: returns the exact size in bytes. If `size` is at least that large, the bytes are written;
 * otherwise nothing is. To ask for the size, pass NULL and 0. No NUL is written.
 * Ownership: borrows everything. The function is pure and allocates nothing.
 * Threads: any. Callbacks: may call it.
 * Errors, with nothing written:
 * - -EINVAL: `event` is NULL, or has no field.
 * - -EINVAL: a text has a length and no pointer, or `buffer` is NULL and `size` is not 0.
 * - -EINVAL: there is a type without data.
 * - -EINVAL: the id or the type contains a byte that it must not contain.
 * - -EILSEQ: a text is not UTF-8.
 * - -ERANGE: `retry_ms` is out of range.
 * - -EMSGSIZE: the event is larger than SSE_EVENT_SIZE_MAX.
 * - -EMSGSIZE: the id is longer than SSE_ID_SIZE_MAX, or the key than SSE_KEY_SIZE_MAX.
 * - -EOVERFLOW: a length is larger than any memory. The text was not read.
 * Specification: WHATWG HTML 9.2.5 (format), 9.2.6 (how clients read it).
 */
SSE_API ssize_t sse_event_encode(const struct sse_event *event, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif

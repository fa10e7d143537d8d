/* SPDX-License-Identifier: MIT */
#ifndef SSE_HTTP_H
#define SSE_HTTP_H

/**
 * The HTTP around a stream: heads to send, requests to read. Every function here is pure: it
 * allocates nothing, does no input or output, borrows its arguments, and may be called from any thread
 * and any callback.
 *
 * A function that writes to a buffer returns the exact size in bytes. It writes the bytes if the
 * buffer is at least that large, and otherwise nothing; a NULL buffer with size 0 asks for the size. It
 * writes no NUL. sse_http_last_event_id differs: it cuts.
 */

#include <sse/base.h>
#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What the head looks like. */
enum sse_http_version {
    SSE_HTTP_1_1 = 0,
    SSE_HTTP_1_0 = 1,
    /** A CGI response: `Status: 200 OK` in place of a status line (RFC 3875 section 6.3). */
    SSE_HTTP_CGI = 2
};

/** A header field. This struct never grows. */
struct sse_http_header {
    struct sse_text name;
    struct sse_text value;
};

/** What a response head depends on. Every member but `size` may be zero. */
struct sse_http_options {
    size_t size; /**< sizeof(struct sse_http_options) */
    enum sse_http_version version;
    /** Transfer-Encoding: chunked. HTTP/1.1 only. Otherwise the stream ends with the connection. */
    bool chunked;
    /** Access-Control-Allow-Origin: "*" or one origin (then with `Vary: Origin`), visible ASCII without a
     *  comma. Absent: none. */
    struct sse_text cors_origin;
    /** Access-Control-Allow-Credentials: true. Not with "*". */
    bool cors_credentials;
    /**
     * More header fields, `header_count` of them. Content-Type, Content-Encoding, Content-Length and
     * Transfer-Encoding are the library's; so is Status with SSE_HTTP_CGI, and so are the two CORS fields
     * if `cors_origin` is set.
     */
    const struct sse_http_header *headers;
    size_t header_count;
};

/**
 * Writes the head of a stream: status 200 with Content-Type: text/event-stream, Cache-Control: no-cache,
 * no-transform, Content-Encoding: identity, and X-Accel-Buffering: no, so that proxies neither buffer
 * nor compress the stream. `options` NULL: HTTP/1.1 without chunks.
 *
 * An emitter writes this head itself if its options have `http`.
 * Errors, with nothing written:
 * - -EINVAL: an option is not valid: chunked without HTTP/1.1; an origin that is not one; credentials
 *   with "*" or without an origin; a header name that is no token or not allowed; a header value with a
 *   control byte other than tab; `buffer` NULL with a size.
 * - -EOVERFLOW: a length is larger than any memory.
 * Specification: WHATWG HTML 9.2.3, RFC 9110 section 5, RFC 9112 sections 4 and 7.1.
 */
SSE_API ssize_t sse_http_head(void *buffer, size_t size, const struct sse_http_options *options);

/**
 * The same header fields as a table with lower-case names, for HTTP/2, HTTP/3 and servers that write
 * heads themselves. The status is 200. Never Connection and never Transfer-Encoding; `version` and
 * `chunked` do not matter.
 *
 * Effect: returns how many fields there are, and fills `headers` if `count` is at least that. Names in
 * `options` must be in lower case; white space at the ends of their values is left out.
 * Ownership: the texts are static, with a NUL behind them, or point into `options`.
 * Errors: as sse_http_head. Also -EINVAL: a name with a capital letter, or a field that belongs to one
 * connection (connection, keep-alive, proxy-connection, upgrade).
 * Specification: RFC 9113 section 8.2.
 */
SSE_API ssize_t sse_http_headers(struct sse_http_header *headers, size_t count,
                                 const struct sse_http_options *options);

/**
 * Writes the whole response that tells a client to stop for good: 204 No Content.
 *
 * Errors: as sse_http_head. Also -EINVAL: `chunked`.
 * Specification: WHATWG HTML 9.2.3.
 */
SSE_API ssize_t sse_http_no_content(void *buffer, size_t size, const struct sse_http_options *options);

/** How to answer a client that was refused. This struct never grows. */
struct sse_http_refusal {
    int status;        /**< the HTTP status: 200, 400 or 500 */
    size_t body_size;  /**< bytes in `body` */
    char body[32];     /**< for 200: one retry line and a blank line; otherwise empty */
    char reason[32];   /**< the reason phrase of the status, with its NUL */
    bool event_stream; /**< the type of the body is text/event-stream */
};

/**
 * How to answer when sse_emitter_new returned `error`, for servers that write heads themselves:
 *
 * - -EAGAIN, -ECONNREFUSED, -ENOMEM, -ENOSPC: "come back later": 200 with one retry of 2 to 10 seconds. An
 *   error status would close an EventSource for good. `random`, any 64 random bits, chooses the retry,
 *   so that clients do not come back all at once.
 * - -EBADMSG, -EILSEQ: the client's mistake: 400.
 * - Every other error: the server's mistake: 500.
 *
 * Errors: -EINVAL: `refusal` is NULL, or `error` is not negative.
 * Specification: WHATWG HTML 9.2.3 (a clean end reconnects), 9.2.6 (retry).
 */
SSE_API int sse_http_get_refusal(struct sse_http_refusal *refusal, int error, uint64_t random);

/**
 * Writes the whole response for an error of sse_emitter_new, as sse_http_get_refusal describes it. Then close
 * the connection.
 *
 * `chunked` does not matter: the response has a Content-Length. If the call returns -EINVAL because the
 * options themselves were refused (an Origin that is none), call it again with NULL.
 * Errors: as sse_http_head. Also -EINVAL: `error` is not negative.
 * Example:
 *
 *     char response[512];
 *     ssize_t size = sse_http_refuse(response, sizeof(response), error, NULL, random_bits);
 *     if (size > 0)
 *         (void)send(client, response, (size_t)size, MSG_NOSIGNAL);
 */
SSE_API ssize_t sse_http_refuse(void *buffer, size_t size, int error, const struct sse_http_options *options,
                                uint64_t random);

/**
 * Whether the value of an Accept header admits text/event-stream. A header that is absent, empty, or
 * has no range that can be read admits everything. Of the ranges that fit, the most specific decides. A range
 * with parameters other than charset=utf-8 does not fit.
 *
 * Errors: none. Ranges that cannot be read are ignored.
 * Specification: RFC 9110 section 12.5.1.
 */
SSE_API bool sse_http_accepts(struct sse_text accept);

/**
 * Reads the last event id that a client sent: the value of its Last-Event-ID header or, if that is
 * absent, the query parameter `lastEventId` or `Last-Event-ID` in any case, for clients that cannot set
 * a header. If several such parameters come, the last one counts.
 *
 * Effect: writes the id to `buffer` and returns its length; 0: a new client. The result goes to
 * sse_emitter_new as it is, whatever its bytes: an id that no event can have is an unknown id, so the client
 * is told of a gap. White space around the header's value is not part of it. `query` is what follows the
 * `?` of the target, still encoded. Either may be absent. An id that is longer than the buffer is cut
 * and ends in a NUL, which no id holds: make the buffer larger than every id of yours
 * (SSE_ID_SIZE_MAX + 1).
 * Errors: -EINVAL: `buffer` is NULL or `size` 0, or a text has a length and no pointer.
 * Specification: WHATWG HTML 9.2.4.
 * Example:
 *
 *     char id[SSE_ID_SIZE_MAX + 1];
 *     ssize_t size = sse_http_last_event_id(header, query, id, sizeof(id));
 *     if (size > 0)
 *         options.last_event_id = (struct sse_text){id, (size_t)size};
 */
SSE_API ssize_t sse_http_last_event_id(struct sse_text header, struct sse_text query, void *buffer,
                                       size_t size);

/**
 * Reads the `index`-th value of a query parameter, percent-decoded; `+` is a space. Count `index` up
 * from 0 until -ENOENT to read a parameter that is repeated, up to a limit of yours: each call reads the
 * whole query.
 *
 * Effect: writes the value to `buffer` and returns its length, as described at the top of this file: a
 * result above `size` means that nothing was written. `name` is compared with the decoded name, case
 * matters.
 * Errors:
 * - -ENOENT: there are not that many.
 * - -EILSEQ: the value has a broken percent encoding, a NUL, or is not UTF-8. The client's mistake.
 * - -EINVAL: `name` is NULL, `buffer` NULL with a size, or a text has a length and no pointer.
 * Specification: WHATWG URL, application/x-www-form-urlencoded parsing.
 */
SSE_API ssize_t sse_http_parameter(struct sse_text query, const char *name, size_t index, void *buffer,
                                   size_t size);

#ifdef __cplusplus
}
#endif

#endif

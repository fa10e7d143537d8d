/* SPDX-License-Identifier: MIT */
#ifndef SSE_HTTP_H
#define SSE_HTTP_H

/**
 * The HTTP around a stream: heads to send, headers to read. All of it is pure: no allocation, no
 * input or output.
 *
 * Functions that write return the exact size in bytes, and write so many if the buffer is at least
 * so large, as sse_event_encode does. None appends a NUL.
 */

#include <sse/base.h>
#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sse_http_version {
    SSE_HTTP_1_1 = 0,
    SSE_HTTP_1_0 = 1
};

/** A header field. */
struct sse_http_header {
    struct sse_str name;
    struct sse_str value;
};

/** What a response head depends on. All members but `size` may be zero. */
struct sse_http_options {
    size_t size; /**< sizeof(struct sse_http_options) */
    enum sse_http_version version;
    /** Transfer-Encoding: chunked; goes with SSE_FRAMING_CHUNKED. HTTP/1.1 only. */
    bool chunked;
    /** Access-Control-Allow-Origin, "*" or one origin (then with `Vary: Origin`): visible ASCII
     *  without comma. Absent for none. */
    struct sse_str cors_origin;
    /** Access-Control-Allow-Credentials: true. Not with "*". */
    bool cors_credentials;
    /** More header fields. Not Content-Type, Content-Length or Transfer-Encoding, which are the
     *  library's; nor, with `cors_origin`, the two CORS fields. */
    const struct sse_http_header *headers;
    size_t header_count;
};

/**
 * The head of a stream: status 200, Content-Type: text/event-stream, Cache-Control: no-cache,
 * no-transform, and X-Accel-Buffering: no, so that proxies pass events on at once. `options` NULL
 * is HTTP/1.1 without chunking; the stream then ends with the connection.
 *
 * Ownership: borrows everything. Threads: any. Hooks: may call.
 * Errors, nothing written: -EINVAL (unknown size or version; chunked with 1.0; an origin that is
 * none; credentials with "*" or without an origin; a header name that is no token or not allowed, or
 * a value with a control byte other than a tab; buffer NULL with a size), -EOVERFLOW.
 * Specification: WHATWG HTML 9.2.3, RFC 9110 section 5, RFC 9112 sections 4 and 7.1.
 */
SSE_API ssize_t sse_http_head(void *buffer, size_t size, const struct sse_http_options *options);

/**
 * The same header fields as a table with lower-case names, for HTTP/2 and HTTP/3 and for hosts
 * that have calls of their own. Never Connection, never Transfer-Encoding; `version` and `chunked`
 * are not looked at. The status is 200. Extra names must be in lower case already; white space at
 * the ends of values is taken off.
 *
 * Effect: returns how many there are, and fills `headers` if `count` is at least so many.
 * Ownership: the texts are static, with a NUL behind them, or those of `options`. Threads: any. Hooks: may call.
 * Errors: as sse_http_head; -EINVAL also for an extra name with a capital, and for the fields that
 * belong to one connection (connection, keep-alive, proxy-connection, upgrade).
 * Specification: RFC 9113 section 8.2.
 */
SSE_API ssize_t sse_http_headers(struct sse_http_header *headers, size_t count,
                                 const struct sse_http_options *options);

/**
 * The response that tells a client to stop for good: 204 No Content. Close the connection, or
 * keep it for the next request.
 *
 * Ownership: borrows everything. Threads: any. Hooks: may call.
 * Errors: as sse_http_head; -EINVAL also if chunked.
 * Specification: WHATWG HTML 9.2.3.
 */
SSE_API ssize_t sse_http_no_content(void *buffer, size_t size, const struct sse_http_options *options);

/**
 * A whole response that sends a client away for now: 200, an empty stream with one `retry`, and
 * its end. An error status would close an EventSource for good.
 *
 * Effect: the retry, in milliseconds, lies between `retry_min_ms` and `retry_max_ms`, chosen by
 * `random`, any 64 random bits: another for each client, so that they do not come back at once.
 * Ownership: borrows everything. Threads: any. Hooks: may call.
 * Errors: as sse_http_head; -EINVAL also if chunked, -ERANGE (1 <= min <= max <= SSE_RETRY_MAX
 * does not hold).
 * Specification: WHATWG HTML 9.2.3 (a clean end re-establishes the connection), 9.2.6 (retry).
 */
SSE_API ssize_t sse_http_shed(void *buffer, size_t size, const struct sse_http_options *options,
                              int64_t retry_min_ms, int64_t retry_max_ms, uint64_t random);

/**
 * Whether the value of an Accept header admits text/event-stream. Absent, empty, or without a range
 * that can be read admits all. Of the ranges that fit, the most specific decides; parameters other
 * than charset=utf-8 do not fit.
 *
 * Ownership: borrows. Threads: any. Hooks: may call. Errors: none; what cannot be read is passed
 * over.
 * Specification: RFC 9110 section 12.5.1.
 */
SSE_API bool sse_http_accepts(struct sse_str accept);

/**
 * The last event id that a client sent: the value of its Last-Event-ID header, or if that is
 * absent the query parameter `lastEventId` or `Last-Event-ID` in any case, percent-decoded, for
 * clients that cannot set a header.
 *
 * Effect: writes the id, raw bytes without NUL, to `buffer` and returns its length; 0 for none,
 * and for an empty one, which mean the same: a new subscriber. White space around a header value
 * is not part of it. `query` is what follows the `?` of the target, still encoded; either may be
 * absent.
 * Ownership: borrows; the buffer is the caller's, and its size the limit.
 * Threads: any. Hooks: may call.
 * Errors, buffer undefined: -EINVAL (buffer NULL; a byte that no id may hold; broken percent
 * encoding), -EILSEQ (not UTF-8), -EMSGSIZE (longer than the buffer).
 * Specification: WHATWG HTML 9.2.4.
 */
SSE_API ssize_t sse_http_last_event_id(struct sse_str header, struct sse_str query, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif

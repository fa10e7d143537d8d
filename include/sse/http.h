/* SPDX-License-Identifier: MIT */
#ifndef SSE_HTTP_H
#define SSE_HTTP_H

/**
 * The HTTP around a stream: response heads to write, and requests to read. Every function here is pure: it
 * allocates nothing, does no input or output, borrows its arguments, and may be called from any thread
 * and any callback.
 *
 * A function that writes to a buffer returns the exact size in bytes. If the buffer is at least that large, the
 * bytes are written; otherwise nothing is. To ask for the size, pass NULL and 0. No NUL is written. The exception
 * is sse_http_last_event_id, which shortens what does not fit.
 */

#include <sse/base.h>
#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The form of a response head. */
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
    /** Transfer-Encoding: chunked. Only with HTTP/1.1. Without it, the end of the connection ends the stream. */
    bool chunked;
    /** Access-Control-Allow-Origin: "*", or one origin in visible ASCII without a comma. With an origin the head
     *  also has `Vary: Origin`. Absent: no CORS fields. */
    struct sse_text cors_origin;
    /** Access-Control-Allow-Credentials: true. It needs an origin other than "*". */
    bool cors_credentials;
    /**
     * More header fields, `header_count` of them. Do not give these, which the library refuses:
     *
     * - Content-Type, Content-Encoding, Content-Length and Transfer-Encoding.
     * - With SSE_HTTP_CGI: Status.
     * - With `cors_origin`: Access-Control-Allow-Origin and Access-Control-Allow-Credentials.
     */
    const struct sse_http_header *headers;
    size_t header_count;
};

/**
 * Writes the response head of an event stream. You do not need it if you set `http` in the options of an emitter,
 * because the emitter then writes the head itself.
 *
 * The head has status 200 and these fields, so that proxies neither buffer nor compress the stream:
 *
 * - Content-Type: text/event-stream
 * - Cache-Control: no-cache, no-transform
 * - Content-Encoding: identity
 * - X-Accel-Buffering: no
 *
 * `options` NULL: HTTP/1.1 without chunks.
 * Errors, with nothing written:
 * - -EINVAL: `buffer` is NULL and `size` is not 0.
 * - -EINVAL: `size` or `version` of the options is not valid, or a text has a length and no pointer.
 * - -EINVAL: `chunked` is set, and the version is not HTTP/1.1.
 * - -EINVAL: `cors_origin` is not valid, or `cors_credentials` is set without an origin or with "*".
 * - -EINVAL: the name of a header field is no token, or must not be given.
 * - -EINVAL: the value of a header field contains a control byte other than tab.
 * - -EOVERFLOW: a length is larger than any memory.
 * Specification: WHATWG HTML 9.2.3, RFC 9110 section 5, RFC 9112 sections 4 and 7.1.
 */
SSE_API ssize_t sse_http_head(void *buffer, size_t size, const struct sse_http_options *options);

/**
 * Fills a table with the header fields of sse_http_head, for HTTP/2, HTTP/3 and servers that write heads
 * themselves. The status of the response must be 200.
 *
 * Effect: returns how many fields there are, and fills `headers` if `count` is at least that. The names are in
 * lower case. The table never has Connection or Transfer-Encoding, and `version` and `chunked` are ignored.
 * White space at the ends of a value in `options` is left out.
 * Ownership: the texts point into `options`, or are static strings with a NUL at their end.
 * Errors:
 * - Every error of sse_http_head.
 * - -EINVAL: a name in `options` has a capital letter.
 * - -EINVAL: a name in `options` is connection, keep-alive, proxy-connection or upgrade: these fields belong to
 *   one connection.
 * Specification: RFC 9113 section 8.2.
 */
SSE_API ssize_t sse_http_headers(struct sse_http_header *headers, size_t count,
                                 const struct sse_http_options *options);

/**
 * Writes the whole response 204 No Content, after which a client does not reconnect.
 *
 * Errors:
 * - Every error of sse_http_head.
 * - -EINVAL: `chunked` is set.
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
 * Fills in how to answer when sse_emitter_new returned `error`, for servers that write heads themselves.
 *
 * - -EAGAIN, -ECONNREFUSED, -ENOMEM, -ENOSPC: the client is to come back later. The answer is 200 with one retry
 *   of 2 to 10 seconds, because an error status would close an EventSource for good. `random`, any 64 random bits,
 *   chooses the retry, so that clients do not come back all at once.
 * - -EBADMSG, -EILSEQ: the request is the client's mistake. The answer is 400.
 * - Every other error is the server's mistake. The answer is 500.
 *
 * Errors:
 * - -EINVAL: `refusal` is NULL, or `error` is not negative.
 * Specification: WHATWG HTML 9.2.3 (a clean end reconnects), 9.2.6 (retry).
 */
SSE_API int sse_http_get_refusal(struct sse_http_refusal *refusal, int error, uint64_t random);

/**
 * Writes the whole response for an error of sse_emitter_new, as sse_http_get_refusal describes it. Send it, and
 * close the connection.
 *
 * `chunked` is ignored, because the response has a Content-Length. If the call returns -EINVAL because of the
 * options, such as an Origin that is not valid, call it again with NULL.
 * Errors:
 * - Every error of sse_http_head.
 * - -EINVAL: `error` is not negative.
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
 * Returns whether the value of an Accept header admits text/event-stream.
 *
 * - Of the media ranges that match text/event-stream, the most specific one decides.
 * - A media range with a parameter other than charset=utf-8 does not match.
 * - A media range that is not valid is ignored.
 * - A header that is absent, empty, or without a valid media range admits everything.
 *
 * Errors: none.
 * Specification: RFC 9110 section 12.5.1.
 */
SSE_API bool sse_http_accepts(struct sse_text accept);

/**
 * Reads the last event id from a request. Pass the result to sse_emitter_new, whatever it is.
 *
 * Effect: writes the id to `buffer` and returns its length. 0 means a new client.
 *
 * - `header` is the value of the Last-Event-ID header. White space at its ends is ignored.
 * - `query` is what follows the `?` of the target, still encoded. It is read if the header is absent, for clients
 *   that cannot set one. The last parameter with the name `lastEventId` or `Last-Event-ID` counts; case does
 *   not matter.
 * - Either may be absent.
 * - The id may have any bytes. One that no event can have is an unknown id, and so a gap.
 * - A buffer of SSE_ID_SIZE_MAX + 1 bytes is large enough. In a smaller one an id that does not fit is shortened,
 *   and its last byte becomes NUL, so that it is not mistaken for another id.
 * Errors:
 * - -EINVAL: `buffer` is NULL, or `size` is 0.
 * - -EINVAL: a text has a length and no pointer.
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
 * Reads a value of a query parameter. `index` 0 is the first value.
 *
 * Effect: decodes the value, in which `+` is a space, writes it to `buffer`, and returns its length. A result above
 * `size` means that nothing was written. `name` is compared with the decoded name; case matters.
 *
 * To read a parameter that is repeated, count `index` up until -ENOENT. Set yourself a limit, because each call
 * reads the whole query.
 * Errors:
 * - -ENOENT: there are not that many values.
 * - -EILSEQ: the value has a broken percent encoding or a NUL, or is not UTF-8. This is the client's mistake.
 * - -EINVAL: `name` is NULL, or `buffer` is NULL and `size` is not 0.
 * - -EINVAL: a text has a length and no pointer.
 * Specification: WHATWG URL, application/x-www-form-urlencoded parsing.
 */
SSE_API ssize_t sse_http_parameter(struct sse_text query, const char *name, size_t index, void *buffer,
                                   size_t size);

#ifdef __cplusplus
}
#endif

#endif

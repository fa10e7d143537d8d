/* SPDX-License-Identifier: MIT */
#ifndef HUB_REQUEST_H
#define HUB_REQUEST_H

/**
 * Reads the head of a request byte by byte, strictly: RFC 9112 sections 2 to 6. A head that could be understood in
 * two ways is refused.
 */

#include <sse/http.h>
#include <stdint.h>

/** The longest head, request line included. */
#define REQUEST_HEAD_MAX 16384
#define REQUEST_HEADERS_MAX 128

/** How the head gives the length of the body. */
enum request_framing { REQUEST_FRAMING_NONE, REQUEST_FRAMING_LENGTH, REQUEST_FRAMING_CHUNKED };

/** All members zero is a request of which nothing has been read. */
struct request {
    struct sse_text method;
    struct sse_text path;
    struct sse_text query; /**< what follows the `?`, still encoded; absent if there is none */
    enum sse_http_version version;
    struct sse_http_header headers[REQUEST_HEADERS_MAX];
    size_t header_count;
    enum request_framing framing;
    uint64_t content_length; /**< with REQUEST_FRAMING_LENGTH */

    const char *error; /**< the error in the request, once request_feed has returned a status */

    char head[REQUEST_HEAD_MAX];
    size_t length;
    size_t line_start;
    size_t lines;
    bool skipped_empty_line;
};

/**
 * Reads `*used` bytes of the head. Returns 0 if more are needed, 1 if the head is complete, otherwise the HTTP
 * status to refuse the request with.
 */
int request_feed(struct request *request, const char *bytes, size_t size, size_t *used);

/** Returns how often a header field occurs. */
size_t request_header_count(const struct request *request, const char *name);

/** Returns the value of the first header field of that name; absent if there is none. */
struct sse_text request_header(const struct request *request, const char *name);

/**
 * Writes the values of all header fields of that name, joined by commas (RFC 9110 section 5.3), to a buffer of
 * REQUEST_HEAD_MAX bytes. Absent if there is none.
 */
struct sse_text request_joined_header(const struct request *request, const char *name, char *buffer);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HUB_REQUEST_H
#define HUB_REQUEST_H

/**
 * The head of a request, read byte by byte and strictly: RFC 9112 sections 2 to 6. What could be
 * read in two ways is refused.
 */

#include <sse/http.h>
#include <stdint.h>

/** The longest head, request line included. */
#define REQUEST_HEAD_MAX 16384
#define REQUEST_HEADERS_MAX 128

/** How the length of the body is told. */
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

    const char *error; /**< what is wrong with it, once request_feed has returned a status */

    char head[REQUEST_HEAD_MAX];
    size_t length;
    size_t line_start;
    size_t lines;
    bool skipped_empty_line;
};

/**
 * Takes bytes of the head, `*used` of them. Returns 0 if more are needed, 1 if the head is
 * complete, otherwise the HTTP status to refuse it with.
 */
int request_feed(struct request *request, const char *bytes, size_t size, size_t *used);

/** How often a header field is there. */
size_t request_header_count(const struct request *request, const char *name);

/** The value of the first header field of that name; absent if there is none. */
struct sse_text request_header(const struct request *request, const char *name);

/**
 * The values of all header fields of that name, joined by commas as RFC 9110 section 5.3 has it,
 * in a buffer of REQUEST_HEAD_MAX bytes; absent if there is none.
 */
struct sse_text request_joined_header(const struct request *request, const char *name, char *buffer);

#endif

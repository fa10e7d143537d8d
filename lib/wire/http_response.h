/* SPDX-License-Identifier: MIT */
#ifndef WIRE_HTTP_RESPONSE_H
#define WIRE_HTTP_RESPONSE_H

/** A response: its fields are added one by one, and then it is written. */

#include <sse/http.h>

/* The fields that the library sets itself. */
enum http_field {
    HTTP_CONTENT_TYPE,
    HTTP_CACHE_CONTROL,
    HTTP_CONTENT_ENCODING,
    HTTP_X_ACCEL_BUFFERING,
    HTTP_TRANSFER_ENCODING,
    HTTP_CONTENT_LENGTH,
    HTTP_ALLOW_ORIGIN,
    HTTP_VARY,
    HTTP_ALLOW_CREDENTIALS,
    HTTP_FIELD_COUNT
};

enum http_name_style { HTTP_STYLE_CAPITALS, HTTP_STYLE_LOWER_CASE, HTTP_STYLE_COUNT };

struct http_response {
    struct sse_http_options options; /* checked; their header fields follow those of the library */
    int status;
    const char *reason;
    enum http_name_style style;
    struct sse_http_header fields[HTTP_FIELD_COUNT];
    size_t field_count;
    struct sse_text body;
};

void sse_http_response_add(struct http_response *response, enum http_field field, struct sse_text value);

/** Adds the fields of an event stream. */
void sse_http_response_add_stream(struct http_response *response);

/** Adds the CORS fields that the options ask for. */
void sse_http_response_add_cors(struct http_response *response);

/** Writes the response if `size` is enough. Returns its size, or -EOVERFLOW. */
ssize_t sse_http_response_write(const struct http_response *response, void *buffer, size_t size);

#endif

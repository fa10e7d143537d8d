/* SPDX-License-Identifier: MIT */
#include <sse/http.h>

#include "wire/http_options.h"
#include "wire/http_response.h"
#include "wire/text.h"

#include <errno.h>

ssize_t sse_http_head(void *buffer, size_t size, const struct sse_http_options *options)
{
    struct http_response response = {.status = 200, .reason = "OK"};
    int error = sse_http_options_read_for(&response.options, options, buffer, size);

    if (error)
        return error;
    if (response.options.chunked && response.options.version != SSE_HTTP_1_1)
        return -EINVAL;
    sse_http_response_add_stream(&response);
    if (response.options.chunked)
        sse_http_response_add(&response, HTTP_TRANSFER_ENCODING, sse_str("chunked"));
    sse_http_response_add_cors(&response);
    return sse_http_response_write(&response, buffer, size);
}

ssize_t sse_http_no_content(void *buffer, size_t size, const struct sse_http_options *options)
{
    struct http_response response = {.status = 204, .reason = "No Content"};
    int error = sse_http_options_read_for(&response.options, options, buffer, size);

    if (error)
        return error;
    if (response.options.chunked)
        return -EINVAL;
    sse_http_response_add_cors(&response);
    return sse_http_response_write(&response, buffer, size);
}

static bool name_has_capitals(struct sse_text name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return true;
    return false;
}

/* RFC 9113 section 8.2.2: a response with one of these is malformed in HTTP/2. */
static bool name_is_connection_specific(struct sse_text name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "upgrade"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sse_text_equals_ignoring_case(name, names[i]))
            return true;
    return false;
}

static int check_table_names(const struct sse_http_options *options)
{
    for (size_t i = 0; i < options->header_count; i++) {
        struct sse_text name = options->headers[i].name;
        if (name_has_capitals(name) || name_is_connection_specific(name))
            return -EINVAL;
    }
    return 0;
}

static void fill_table(struct sse_http_header *headers, const struct http_response *response)
{
    const struct sse_http_options *options = &response->options;

    memcpy(headers, response->fields, response->field_count * sizeof(*headers));
    headers += response->field_count;
    for (size_t i = 0; i < options->header_count; i++) {
        headers[i].name = options->headers[i].name;
        /* HTTP/2 allows no white space at the ends of a value: RFC 9113 section 8.2.1. */
        headers[i].value = sse_text_trim(options->headers[i].value);
    }
}

ssize_t sse_http_headers(struct sse_http_header *headers, size_t count,
                         const struct sse_http_options *options)
{
    struct http_response response = {.style = HTTP_STYLE_LOWER_CASE};
    size_t total;
    int error = sse_http_options_read(&response.options, options);

    if (!error && !headers && count > 0)
        error = -EINVAL;
    if (!error)
        error = check_table_names(&response.options);
    if (error)
        return error;
    sse_http_response_add_stream(&response);
    sse_http_response_add_cors(&response);
    total = response.field_count + response.options.header_count;
    if (total <= count)
        fill_table(headers, &response);
    return (ssize_t)total;
}

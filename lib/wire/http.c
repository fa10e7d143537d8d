/* SPDX-License-Identifier: MIT */
#include <sse/event.h>
#include <sse/http.h>

#include "wire/text.h"

#include <errno.h>

/* The fields that the library sets itself. */
enum own_field {
    CONTENT_TYPE,
    CACHE_CONTROL,
    X_ACCEL_BUFFERING,
    TRANSFER_ENCODING,
    CONTENT_LENGTH,
    ALLOW_ORIGIN,
    VARY,
    ALLOW_CREDENTIALS,
    OWN_FIELD_COUNT
};

enum name_style { STYLE_HTTP_1, STYLE_LOWER_CASE, STYLE_COUNT };

static const char *const own_names[OWN_FIELD_COUNT][STYLE_COUNT] = {
    [CONTENT_TYPE] = {"Content-Type", "content-type"},
    [CACHE_CONTROL] = {"Cache-Control", "cache-control"},
    [X_ACCEL_BUFFERING] = {"X-Accel-Buffering", "x-accel-buffering"},
    [TRANSFER_ENCODING] = {"Transfer-Encoding", "transfer-encoding"},
    [CONTENT_LENGTH] = {"Content-Length", "content-length"},
    [ALLOW_ORIGIN] = {"Access-Control-Allow-Origin", "access-control-allow-origin"},
    [VARY] = {"Vary", "vary"},
    [ALLOW_CREDENTIALS] = {"Access-Control-Allow-Credentials", "access-control-allow-credentials"},
};

/* A response apart from the extra headers, which stay in the options. */
struct response {
    const char *status; /* code and reason */
    enum name_style style;
    struct sse_http_header fields[OWN_FIELD_COUNT];
    size_t field_count;
    struct sse_str body;
};

static const struct sse_http_options default_options = {.size = sizeof(struct sse_http_options)};

static bool name_is_one_of(struct sse_str name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sse_text_equals_ignoring_case(name, names[i]))
            return true;
    return false;
}

/*
 * A second one of these would contradict the framing, make the stream no event stream, or have
 * browsers refuse it.
 */
static bool name_is_reserved(struct sse_str name, bool cors)
{
    static const char *const always[] = {"content-length", "transfer-encoding", "content-type"};
    static const char *const with_cors[] = {"access-control-allow-origin",
                                            "access-control-allow-credentials"};

    if (name_is_one_of(name, always, sizeof(always) / sizeof(always[0])))
        return true;
    return cors && name_is_one_of(name, with_cors, sizeof(with_cors) / sizeof(with_cors[0]));
}

/* RFC 9113 section 8.2.2: a response with one of these is malformed in HTTP/2. */
static bool name_is_connection_specific(struct sse_str name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "upgrade"};

    return name_is_one_of(name, names, sizeof(names) / sizeof(names[0]));
}

static bool name_has_capitals(struct sse_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return true;
    return false;
}

static bool name_is_token(struct sse_str name)
{
    return name.len > 0 && sse_text_token_length(name) == name.len;
}

static bool value_is_valid(struct sse_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

static bool origin_is_any(struct sse_str origin)
{
    return origin.len == 1 && origin.ptr[0] == '*';
}

/* Hosts echo the Origin of the request. Browsers take neither a list nor a pattern. */
static bool origin_is_valid(struct sse_str origin)
{
    if (origin_is_any(origin))
        return true;
    for (size_t i = 0; i < origin.len; i++) {
        unsigned char byte = (unsigned char)origin.ptr[i];
        if (byte <= 0x20 || byte >= 0x7f || byte == ',' || byte == '*')
            return false;
    }
    return origin.len > 0;
}

static void write_field(struct text_writer *writer, const struct sse_http_header *field)
{
    sse_text_write(writer, field->name);
    sse_text_write(writer, sse_str(": "));
    sse_text_write(writer, field->value);
    sse_text_write(writer, sse_str("\r\n"));
}

/* Pointers and lengths are checked before any text is read, since a bad length would read astray. */
static int check_lengths(const struct sse_http_options *options)
{
    struct text_writer counter = {0};

    if (sse_text_is_broken(options->cors_origin) || (!options->headers && options->header_count > 0))
        return -EINVAL;
    if (options->header_count > PTRDIFF_MAX / sizeof(*options->headers))
        return -EOVERFLOW;
    sse_text_write(&counter, options->cors_origin);
    for (size_t i = 0; i < options->header_count; i++) {
        if (sse_text_is_broken(options->headers[i].name) || sse_text_is_broken(options->headers[i].value))
            return -EINVAL;
        write_field(&counter, &options->headers[i]);
    }
    return counter.overflow ? -EOVERFLOW : 0;
}

static int check_cors(const struct sse_http_options *options)
{
    if (!options->cors_origin.ptr)
        return options->cors_credentials ? -EINVAL : 0;
    if (!origin_is_valid(options->cors_origin))
        return -EINVAL;
    if (options->cors_credentials && origin_is_any(options->cors_origin))
        return -EINVAL;
    return 0;
}

static int check_options(const struct sse_http_options *options)
{
    int error;

    if (options->size != sizeof(*options))
        return -EINVAL;
    error = check_lengths(options);
    if (error)
        return error;
    for (size_t i = 0; i < options->header_count; i++) {
        const struct sse_http_header *header = &options->headers[i];
        if (!name_is_token(header->name) || !value_is_valid(header->value) ||
            name_is_reserved(header->name, options->cors_origin.ptr != NULL))
            return -EINVAL;
    }
    return check_cors(options);
}

/* What the functions that write bytes have in common, above check_options. */
static int check_call(const void *buffer, size_t size, const struct sse_http_options *options)
{
    int error = check_options(options);

    if (error)
        return error;
    if (!buffer && size > 0)
        return -EINVAL;
    if (options->version != SSE_HTTP_1_1 && options->version != SSE_HTTP_1_0)
        return -EINVAL;
    return options->chunked && options->version == SSE_HTTP_1_0 ? -EINVAL : 0;
}

static void add_field(struct response *response, enum own_field field, struct sse_str value)
{
    struct sse_http_header *header = &response->fields[response->field_count++];

    header->name = sse_str(own_names[field][response->style]);
    header->value = value;
}

static void add_stream_fields(struct response *response)
{
    add_field(response, CONTENT_TYPE, sse_str("text/event-stream"));
    add_field(response, CACHE_CONTROL, sse_str("no-cache, no-transform"));
    add_field(response, X_ACCEL_BUFFERING, sse_str("no"));
}

static void add_cors_fields(struct response *response, const struct sse_http_options *options)
{
    if (!options->cors_origin.ptr)
        return;
    add_field(response, ALLOW_ORIGIN, options->cors_origin);
    if (!origin_is_any(options->cors_origin))
        add_field(response, VARY, sse_str("Origin"));
    if (options->cors_credentials)
        add_field(response, ALLOW_CREDENTIALS, sse_str("true"));
}

static void compose(struct text_writer *writer, const struct response *response,
                    const struct sse_http_options *options)
{
    sse_text_write(writer, sse_str(options->version == SSE_HTTP_1_0 ? "HTTP/1.0 " : "HTTP/1.1 "));
    sse_text_write(writer, sse_str(response->status));
    sse_text_write(writer, sse_str("\r\n"));
    for (size_t i = 0; i < response->field_count; i++)
        write_field(writer, &response->fields[i]);
    for (size_t i = 0; i < options->header_count; i++)
        write_field(writer, &options->headers[i]);
    sse_text_write(writer, sse_str("\r\n"));
    sse_text_write(writer, response->body);
}

static ssize_t write_response(void *buffer, size_t size, const struct response *response,
                              const struct sse_http_options *options)
{
    struct text_writer counter = {0};
    struct text_writer writer = {.buffer = buffer};

    compose(&counter, response, options);
    if (counter.overflow)
        return -EOVERFLOW;
    if (counter.length <= size)
        compose(&writer, response, options);
    return (ssize_t)counter.length;
}

ssize_t sse_http_head(void *buffer, size_t size, const struct sse_http_options *options)
{
    struct response response = {.status = "200 OK", .style = STYLE_HTTP_1};
    int error;

    options = options ? options : &default_options;
    error = check_call(buffer, size, options);
    if (error)
        return error;
    add_stream_fields(&response);
    if (options->chunked)
        add_field(&response, TRANSFER_ENCODING, sse_str("chunked"));
    add_cors_fields(&response, options);
    return write_response(buffer, size, &response, options);
}

ssize_t sse_http_headers(struct sse_http_header *headers, size_t count,
                         const struct sse_http_options *options)
{
    struct response response = {.style = STYLE_LOWER_CASE};
    size_t total;
    int error;

    options = options ? options : &default_options;
    error = check_options(options);
    if (error)
        return error;
    if (!headers && count > 0)
        return -EINVAL;
    for (size_t i = 0; i < options->header_count; i++) {
        struct sse_str name = options->headers[i].name;
        if (name_has_capitals(name) || name_is_connection_specific(name))
            return -EINVAL;
    }
    add_stream_fields(&response);
    add_cors_fields(&response, options);

    total = response.field_count + options->header_count;
    if (count < total)
        return (ssize_t)total;
    memcpy(headers, response.fields, response.field_count * sizeof(*headers));
    for (size_t i = 0; i < options->header_count; i++) {
        /* HTTP/2 takes no white space at the ends of a value: RFC 9113 section 8.2.1. */
        headers[response.field_count + i].name = options->headers[i].name;
        headers[response.field_count + i].value = sse_text_trim(options->headers[i].value);
    }
    return (ssize_t)total;
}

ssize_t sse_http_no_content(void *buffer, size_t size, const struct sse_http_options *options)
{
    struct response response = {.status = "204 No Content", .style = STYLE_HTTP_1};
    int error;

    options = options ? options : &default_options;
    error = check_call(buffer, size, options);
    if (error)
        return error;
    if (options->chunked)
        return -EINVAL;
    add_cors_fields(&response, options);
    return write_response(buffer, size, &response, options);
}

ssize_t sse_http_shed(void *buffer, size_t size, const struct sse_http_options *options, int64_t retry_min_ms,
                      int64_t retry_max_ms, uint64_t random)
{
    struct response response = {.status = "200 OK", .style = STYLE_HTTP_1};
    char body[sizeof("retry: \n\n") + TEXT_DECIMAL_SIZE];
    char number[TEXT_DECIMAL_SIZE];
    char length[TEXT_DECIMAL_SIZE];
    struct text_writer writer = {.buffer = body};
    uint64_t span;
    int error;

    options = options ? options : &default_options;
    error = check_call(buffer, size, options);
    if (error)
        return error;
    if (options->chunked)
        return -EINVAL;
    if (retry_min_ms < 1 || retry_min_ms > retry_max_ms || retry_max_ms > SSE_RETRY_MAX)
        return -ERANGE;
    span = (uint64_t)(retry_max_ms - retry_min_ms) + 1;
    sse_text_write(&writer, sse_str("retry: "));
    sse_text_write(&writer, sse_text_decimal((uint64_t)retry_min_ms + random % span, number));
    sse_text_write(&writer, sse_str("\n\n"));
    response.body = (struct sse_str){.ptr = body, .len = writer.length};

    add_stream_fields(&response);
    add_field(&response, CONTENT_LENGTH, sse_text_decimal(writer.length, length));
    add_cors_fields(&response, options);
    return write_response(buffer, size, &response, options);
}

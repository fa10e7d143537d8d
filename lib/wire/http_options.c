/* SPDX-License-Identifier: MIT */
#include "base/options.h"
#include "wire/http_options.h"
#include "wire/text.h"

#include <errno.h>

/* The oldest version of the options that is accepted: 0.2. */
#define OPTIONS_SIZE_OLDEST OPTIONS_SIZE_TO(struct sse_http_options, header_count)

static bool name_is_one_of(struct sse_text name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sse_text_equals_ignoring_case(name, names[i]))
            return true;
    return false;
}

/*
 * A second field of these names would contradict the framing, change the type of the stream, or make browsers
 * refuse the stream.
 */
static bool name_is_reserved(struct sse_text name, bool cors)
{
    static const char *const always[] = {"content-length", "transfer-encoding", "content-type",
                                         "content-encoding"};
    static const char *const with_cors[] = {"access-control-allow-origin",
                                            "access-control-allow-credentials"};

    if (name_is_one_of(name, always, sizeof(always) / sizeof(always[0])))
        return true;
    return cors && name_is_one_of(name, with_cors, sizeof(with_cors) / sizeof(with_cors[0]));
}

static bool name_is_token(struct sse_text name)
{
    return name.len > 0 && sse_text_token_length(name) == name.len;
}

static bool value_is_valid(struct sse_text value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

/* Servers copy the Origin of the request, so it is checked. Browsers accept neither a list nor a pattern. */
static bool origin_is_valid(struct sse_text origin)
{
    if (sse_http_origin_is_any(origin))
        return true;
    for (size_t i = 0; i < origin.len; i++) {
        unsigned char byte = (unsigned char)origin.ptr[i];
        if (byte <= 0x20 || byte >= 0x7f || byte == ',' || byte == '*')
            return false;
    }
    return origin.len > 0;
}

/* Checks pointers and lengths before any text is read, because a length may be wrong. */
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
        sse_text_write(&counter, options->headers[i].name);
        sse_text_write(&counter, options->headers[i].value);
    }
    return counter.overflow ? -EOVERFLOW : 0;
}

static int check_headers(const struct sse_http_options *options)
{
    for (size_t i = 0; i < options->header_count; i++) {
        const struct sse_http_header *header = &options->headers[i];
        if (!name_is_token(header->name) || !value_is_valid(header->value) ||
            name_is_reserved(header->name, options->cors_origin.ptr != NULL))
            return -EINVAL;
    }
    return 0;
}

static int check_cors(const struct sse_http_options *options)
{
    if (!options->cors_origin.ptr)
        return options->cors_credentials ? -EINVAL : 0;
    if (!origin_is_valid(options->cors_origin))
        return -EINVAL;
    if (options->cors_credentials && sse_http_origin_is_any(options->cors_origin))
        return -EINVAL;
    return 0;
}

int sse_http_options_read(struct sse_http_options *to, const struct sse_http_options *from)
{
    int error;

    if (!from) {
        *to = (struct sse_http_options){.size = sizeof(*to)};
        return 0;
    }
    if (!sse_options_copy(to, sizeof(*to), from, from->size, OPTIONS_SIZE_OLDEST))
        return -EINVAL;
    error = check_lengths(to);
    if (!error)
        error = check_headers(to);
    return error ? error : check_cors(to);
}

/* In CGI the status is a header field, so a second field of that name would contradict it. */
static bool doubles_the_status(const struct sse_http_options *options)
{
    if (options->version != SSE_HTTP_CGI)
        return false;
    for (size_t i = 0; i < options->header_count; i++)
        if (sse_text_equals_ignoring_case(options->headers[i].name, "status"))
            return true;
    return false;
}

int sse_http_options_read_for(struct sse_http_options *to, const struct sse_http_options *from,
                              const void *buffer, size_t size)
{
    int error = sse_http_options_read(to, from);

    if (error)
        return error;
    if (!buffer && size > 0)
        return -EINVAL;
    if (to->version != SSE_HTTP_1_1 && to->version != SSE_HTTP_1_0 && to->version != SSE_HTTP_CGI)
        return -EINVAL;
    return doubles_the_status(to) ? -EINVAL : 0;
}

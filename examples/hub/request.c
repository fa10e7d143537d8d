/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "ascii.h"

#define HEAD_COMPLETE 1

static int refuse(struct request *request, int status, const char *error)
{
    request->error = error;
    return status;
}

static bool is_control(char byte)
{
    unsigned char code = (unsigned char)byte;

    return code < 0x20 || code == 0x7f;
}

static struct sse_text next_line(struct sse_text *rest)
{
    const char *end = memchr(rest->ptr, '\r', rest->len);
    struct sse_text line = {.ptr = rest->ptr, .len = (size_t)(end - rest->ptr)};

    rest->ptr += line.len + 2;
    rest->len -= line.len + 2;
    return line;
}

static int parse_version(struct request *request, struct sse_text version)
{
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || version.ptr[6] != '.')
        return refuse(request, 400, "the request line must end in an HTTP version");
    if (ascii_hex_value(version.ptr[5]) < 0 || ascii_hex_value(version.ptr[5]) > 9 ||
        ascii_hex_value(version.ptr[7]) < 0 || ascii_hex_value(version.ptr[7]) > 9)
        return refuse(request, 400, "the request line must end in an HTTP version");
    if (version.ptr[5] != '1')
        return refuse(request, 505, "the HTTP version must be 1.0 or 1.1");
    request->version = version.ptr[7] == '0' ? SSE_HTTP_1_0 : SSE_HTTP_1_1;
    return 0;
}

/** Removes scheme and authority from a target in absolute form. Returns false if it has no authority. */
static bool strip_authority(struct sse_text *target)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < 2; ++i) {
        size_t size = strlen(schemes[i]);
        struct sse_text start = {.ptr = target->ptr, .len = size};

        if (target->len <= size || !ascii_equals_ignoring_case(start, schemes[i]))
            continue;
        target->ptr += size;
        target->len -= size;
        while (target->len > 0 && *target->ptr != '/' && *target->ptr != '?') {
            ++target->ptr;
            --target->len;
        }
        return true;
    }
    return false;
}

static int parse_target(struct request *request, struct sse_text target)
{
    const char *mark;

    for (size_t i = 0; i < target.len; ++i) {
        if (is_control(target.ptr[i]) || target.ptr[i] == '#')
            return refuse(request, 400, "the target contains a byte that must be percent-encoded");
    }
    if (ascii_equals(target, "*") && ascii_equals(request->method, "OPTIONS")) {
        request->path = target;
        return 0;
    }
    if (target.len == 0 || (target.ptr[0] != '/' && !strip_authority(&target)))
        return refuse(request, 400, "the target must be a path");
    request->path = target;
    mark = target.len > 0 ? memchr(target.ptr, '?', target.len) : NULL;
    if (mark) {
        request->path.len = (size_t)(mark - target.ptr);
        request->query.ptr = mark + 1;
        request->query.len = target.len - request->path.len - 1;
    }
    if (request->path.len == 0)
        request->path = sse_str("/");
    return 0;
}

static int parse_request_line(struct request *request, struct sse_text line)
{
    const char *space = memchr(line.ptr, ' ', line.len);
    struct sse_text target;
    int status;

    if (!space || space == line.ptr)
        return refuse(request, 400, "the request line must be METHOD TARGET VERSION");
    request->method = (struct sse_text){.ptr = line.ptr, .len = (size_t)(space - line.ptr)};
    for (size_t i = 0; i < request->method.len; ++i) {
        if (!ascii_is_token_byte(request->method.ptr[i]))
            return refuse(request, 400, "the method must be a token");
    }
    target.ptr = space + 1;
    target.len = line.len - request->method.len - 1;
    space = memchr(target.ptr, ' ', target.len);
    if (!space)
        return refuse(request, 400, "the request line must be METHOD TARGET VERSION");
    status = parse_version(request, (struct sse_text){
                                        .ptr = space + 1,
                                        .len = target.len - (size_t)(space - target.ptr) - 1,
                                    });
    target.len = (size_t)(space - target.ptr);
    return status != 0 ? status : parse_target(request, target);
}

static int parse_header(struct request *request, struct sse_text line)
{
    struct sse_http_header header = {.name = {.ptr = line.ptr}};

    while (header.name.len < line.len && ascii_is_token_byte(line.ptr[header.name.len]))
        ++header.name.len;
    if (header.name.len == 0 || header.name.len == line.len || line.ptr[header.name.len] != ':')
        return refuse(request, 400, "a header line must be NAME:VALUE");
    if (request->header_count == REQUEST_HEADERS_MAX)
        return refuse(request, 431, "too many header fields");
    header.value.ptr = line.ptr + header.name.len + 1;
    header.value.len = line.len - header.name.len - 1;
    header.value = ascii_trim(header.value);
    request->headers[request->header_count++] = header;
    return 0;
}

/** Fields that must not occur twice, because it would be ambiguous which one counts. */
static int check_single_headers(struct request *request)
{
    static const char *const names[] = {"Host", "Authorization", "Origin", "Sec-Fetch-Site"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (request_header_count(request, names[i]) > 1)
            return refuse(request, 400, "a header field that may occur only once occurs twice");
    }
    if (request->version == SSE_HTTP_1_1 && request_header_count(request, "Host") == 0)
        return refuse(request, 400, "the Host header is missing");
    return 0;
}

static int parse_content_length(struct request *request, struct sse_text value)
{
    uint64_t length;

    if (!ascii_is_digits(value))
        return refuse(request, 400, "Content-Length must be a number");
    if (!ascii_to_number(value, UINT64_MAX, &length))
        return refuse(request, 413, "the body is too large");
    if (request->framing == REQUEST_FRAMING_LENGTH && request->content_length != length)
        return refuse(request, 400, "there are two different Content-Length headers");
    request->framing = REQUEST_FRAMING_LENGTH;
    request->content_length = length;
    return 0;
}

static int parse_framing(struct request *request)
{
    size_t codings = request_header_count(request, "Transfer-Encoding");
    int status = 0;

    for (size_t i = 0; i < request->header_count && status == 0; ++i) {
        if (ascii_equals_ignoring_case(request->headers[i].name, "Content-Length"))
            status = parse_content_length(request, request->headers[i].value);
    }
    if (status != 0 || codings == 0)
        return status;
    if (request->framing == REQUEST_FRAMING_LENGTH)
        return refuse(request, 400, "Content-Length and Transfer-Encoding must not both occur");
    if (codings > 1 || request->version == SSE_HTTP_1_0)
        return refuse(request, 400, "Transfer-Encoding must occur only once, in HTTP/1.1");
    if (!ascii_equals_ignoring_case(request_header(request, "Transfer-Encoding"), "chunked"))
        return refuse(request, 501, "the only Transfer-Encoding supported is chunked");
    request->framing = REQUEST_FRAMING_CHUNKED;
    return 0;
}

static int parse_head(struct request *request)
{
    struct sse_text rest = {.ptr = request->head, .len = request->length - 2};
    int status = parse_request_line(request, next_line(&rest));

    while (status == 0 && rest.len > 0)
        status = parse_header(request, next_line(&rest));
    if (status == 0)
        status = check_single_headers(request);
    if (status == 0)
        status = parse_framing(request);
    return status == 0 ? HEAD_COMPLETE : status;
}

static int end_line(struct request *request)
{
    size_t size = request->length - request->line_start - 2;

    request->line_start = request->length;
    if (size > 0) {
        ++request->lines;
        return 0;
    }
    if (request->lines > 0)
        return HEAD_COMPLETE;
    /* One empty line before the request line is skipped: RFC 9112 section 2.2. */
    if (request->skipped_empty_line)
        return refuse(request, 400, "the request line is missing");
    request->skipped_empty_line = true;
    request->length = 0;
    request->line_start = 0;
    return 0;
}

static int take_byte(struct request *request, char byte)
{
    bool after_cr = request->length > 0 && request->head[request->length - 1] == '\r';

    if (byte == '\n' && !after_cr)
        return refuse(request, 400, "a line must end in CR LF, not in LF");
    if (byte != '\n' && after_cr)
        return refuse(request, 400, "a CR must be followed by LF");
    /* Other control bytes may occur in a value, for example in an id that another server assigned. */
    if (byte == '\0')
        return refuse(request, 400, "the head must not contain a NUL");
    if (request->length == REQUEST_HEAD_MAX && request->lines == 0)
        return refuse(request, 414, "the target is too long");
    if (request->length == REQUEST_HEAD_MAX)
        return refuse(request, 431, "the head is too long");
    request->head[request->length++] = byte;
    return byte == '\n' ? end_line(request) : 0;
}

int request_feed(struct request *request, const char *bytes, size_t size, size_t *used)
{
    for (*used = 0; *used < size;) {
        int status = take_byte(request, bytes[(*used)++]);

        if (status == HEAD_COMPLETE)
            return parse_head(request);
        if (status != 0)
            return status;
    }
    return 0;
}

size_t request_header_count(const struct request *request, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < request->header_count; ++i) {
        if (ascii_equals_ignoring_case(request->headers[i].name, name))
            ++count;
    }
    return count;
}

struct sse_text request_header(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; ++i) {
        if (ascii_equals_ignoring_case(request->headers[i].name, name))
            return request->headers[i].value;
    }
    return sse_str(NULL);
}

struct sse_text request_joined_header(const struct request *request, const char *name, char *buffer)
{
    struct sse_text joined = {.ptr = NULL};

    for (size_t i = 0; i < request->header_count; ++i) {
        struct sse_text value = request->headers[i].value;

        if (!ascii_equals_ignoring_case(request->headers[i].name, name))
            continue;
        if (joined.ptr)
            buffer[joined.len++] = ',';
        joined.ptr = buffer;
        memcpy(buffer + joined.len, value.ptr, value.len);
        joined.len += value.len;
    }
    return joined;
}

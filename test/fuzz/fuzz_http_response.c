/* SPDX-License-Identifier: MIT */
/* Compares sse_http_head, headers, no_content, refuse and get_refusal with a model that checks the options and
 * prints the response that <sse/http.h> describes. */

#include "event_source_parser.h"
#include "input.h"

#include <inttypes.h>
#include <sse/http.h>
#include <stdio.h>
#include <strings.h>

#define HEADERS_MAX 4
#define FIELDS_MAX (HEADERS_MAX + 8)
#define CANARY 0xa5

/* The tested function. Each checks some options differently. */
enum function { HEAD, HEADERS, NO_CONTENT, REFUSE };

struct scene {
    struct fuzz_input input;
    struct fuzz_texts texts;
    struct sse_http_header headers[HEADERS_MAX];
    struct sse_http_options options;
    const void *given; /* the same, in memory of its size */
    bool size_is_odd;  /* its size has to be refused */
    bool broken, huge; /* lengths */
    int error;
    uint64_t random;
};

static struct sse_text draw_name(struct scene *scene)
{
    static const char *const names[] = {"Content-Type",
                                        "content-length",
                                        "Transfer-Encoding",
                                        "Content-Encoding",
                                        "Status",
                                        "Connection",
                                        "keep-alive",
                                        "proxy-connection",
                                        "upgrade",
                                        "x-accel-buffering",
                                        "access-control-allow-origin",
                                        "Access-Control-Allow-Credentials",
                                        "vary",
                                        "x",
                                        "set-cookie",
                                        "X-A"};
    unsigned which = fuzz_below(&scene->input, 24);

    if (which >= sizeof(names) / sizeof(names[0]))
        return fuzz_text(&scene->input, &scene->texts);
    return fuzz_copy(&scene->texts, names[which], strlen(names[which]));
}

static void draw_headers(struct scene *scene)
{
    scene->options.header_count = fuzz_below(&scene->input, HEADERS_MAX + 1);
    for (size_t i = 0; i < scene->options.header_count; i++) {
        scene->headers[i].name = draw_name(scene);
        scene->headers[i].value = fuzz_text(&scene->input, &scene->texts);
    }
    scene->options.headers = scene->headers;
}

static void spoil_a_length(struct scene *scene)
{
    struct sse_text *text = &scene->options.cors_origin;

    if (scene->options.header_count && fuzz_one_in(&scene->input, 2))
        text = &scene->headers[0].value;
    scene->broken = fuzz_one_in(&scene->input, 2);
    scene->huge = !scene->broken;
    if (scene->broken)
        *text = (struct sse_text){.ptr = NULL, .len = 1 + fuzz_byte(&scene->input)};
    else
        *text = (struct sse_text){.ptr = fuzz_room(&scene->texts, 1), .len = SIZE_MAX / 2 + 1};
}

/* The options of a program of another version: smaller, or larger with or without values in the new members. */
static void draw_size(struct scene *scene)
{
    size_t size = sizeof(scene->options);
    unsigned tail = 0;
    char *given;

    if (fuzz_one_in(&scene->input, 16))
        size = fuzz_below(&scene->input, 2) ? fuzz_byte(&scene->input) : sizeof(scene->options) + 8;
    if (size > sizeof(scene->options))
        tail = fuzz_byte(&scene->input);
    scene->options.size = size;
    given = fuzz_room(&scene->texts, size < sizeof(scene->options) ? sizeof(scene->options) : size);
    memcpy(given, &scene->options, sizeof(scene->options));
    if (tail)
        given[size - 1] = (char)tail;
    scene->size_is_odd = size < sizeof(scene->options) || tail;
    scene->given = given;
}

static void draw(struct scene *scene)
{
    static const int errors[] = {-EAGAIN,  -ECONNREFUSED, -ENOMEM, -ENOSPC,
                                 -EBADMSG, -EILSEQ,       -EINVAL, -EPERM};
    unsigned flags = fuzz_byte(&scene->input);

    scene->options.version = (enum sse_http_version)(flags & 3);
    scene->options.chunked = flags & 4;
    scene->options.cors_credentials = flags & 8;
    if (flags & 16)
        scene->options.cors_origin = fuzz_text(&scene->input, &scene->texts);
    if ((flags & 48) == 48)
        scene->options.cors_origin = sse_str("*");
    draw_headers(scene);
    if (fuzz_one_in(&scene->input, 32))
        spoil_a_length(scene);
    draw_size(scene);
    scene->error = fuzz_below(&scene->input, 9) == 8 ? (int)fuzz_number(&scene->input, 4)
                                                     : errors[fuzz_below(&scene->input, 8)];
    scene->random = fuzz_number(&scene->input, 8);
}

/* The model's result. */

static bool is_name(struct sse_text text, const char *name)
{
    return text.len == strlen(name) && !strncasecmp(text.ptr, name, text.len);
}

static bool is_one_of(struct sse_text text, const char *const *names)
{
    for (; *names; names++)
        if (is_name(text, *names))
            return true;
    return false;
}

static bool is_token(struct sse_text text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];

        if (!(byte >= '0' && byte <= '9') && !(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') &&
            !memchr(marks, byte, sizeof(marks) - 1))
            return false;
    }
    return text.len > 0;
}

static bool is_value(struct sse_text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.ptr[i] < ' ' && text.ptr[i] != '\t') || text.ptr[i] == '\x7f')
            return false;
    return true;
}

static bool is_origin(struct sse_text text)
{
    if (is_name(text, "*"))
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || text.ptr[i] == ',' || text.ptr[i] == '*')
            return false;
    return text.len > 0;
}

static bool header_is_allowed(const struct scene *scene, const struct sse_http_header *header,
                              enum function function)
{
    static const char *const never[] = {"content-type", "content-encoding", "content-length",
                                        "transfer-encoding", NULL};
    static const char *const of_cors[] = {"access-control-allow-origin", "access-control-allow-credentials",
                                          NULL};
    static const char *const of_connections[] = {"connection", "keep-alive", "proxy-connection", "upgrade",
                                                 NULL};

    if (!is_token(header->name) || !is_value(header->value) || is_one_of(header->name, never))
        return false;
    if (scene->options.cors_origin.ptr && is_one_of(header->name, of_cors))
        return false;
    if (function != HEADERS)
        return scene->options.version != SSE_HTTP_CGI || !is_name(header->name, "status");
    for (size_t i = 0; i < header->name.len; i++)
        if (header->name.ptr[i] >= 'A' && header->name.ptr[i] <= 'Z')
            return false;
    return !is_one_of(header->name, of_connections);
}

/* The error of a function; 1: -EOVERFLOW, or the error of another fault. */
static int model_error(const struct scene *scene, enum function function)
{
    const struct sse_http_options *options = &scene->options;
    bool any;

    if (scene->size_is_odd || scene->broken)
        return -EINVAL;
    if (scene->huge)
        return 1;
    if (function != HEADERS && options->version > SSE_HTTP_CGI)
        return -EINVAL;
    if ((function == HEAD && options->chunked && options->version != SSE_HTTP_1_1) ||
        (function == NO_CONTENT && options->chunked) || (function == REFUSE && scene->error >= 0))
        return -EINVAL;
    any = is_name(options->cors_origin, "*");
    if (options->cors_origin.ptr ? !is_origin(options->cors_origin) || (any && options->cors_credentials)
                                 : options->cors_credentials)
        return -EINVAL;
    for (size_t i = 0; i < options->header_count; i++)
        if (!header_is_allowed(scene, &options->headers[i], function))
            return -EINVAL;
    return 0;
}

static void print(struct event_source_text *out, const char *string)
{
    event_source_text_append(out, string, strlen(string));
}

static void print_field(struct event_source_text *out, const char *name, struct sse_text value)
{
    print(out, name);
    print(out, ": ");
    event_source_text_append(out, value.ptr, value.len);
    print(out, "\r\n");
}

static const char *retry_of(const struct scene *scene, char retry[32])
{
    snprintf(retry, 32, "retry: %" PRIu64 "\n\n", 2000 + scene->random % 8001);
    return retry;
}

static int status_of(int error)
{
    if (error == -EAGAIN || error == -ECONNREFUSED || error == -ENOMEM || error == -ENOSPC)
        return 200;
    return error == -EBADMSG || error == -EILSEQ ? 400 : 500;
}

static void print_stream_fields(struct event_source_text *out)
{
    print(out, "Content-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n"
               "Content-Encoding: identity\r\nX-Accel-Buffering: no\r\n");
}

static void print_other_fields(struct event_source_text *out, const struct sse_http_options *options)
{
    if (options->cors_origin.ptr) {
        print_field(out, "Access-Control-Allow-Origin", options->cors_origin);
        if (!is_name(options->cors_origin, "*"))
            print(out, "Vary: Origin\r\n");
        if (options->cors_credentials)
            print(out, "Access-Control-Allow-Credentials: true\r\n");
    }
    for (size_t i = 0; i < options->header_count; i++) {
        event_source_text_append(out, options->headers[i].name.ptr, options->headers[i].name.len);
        print_field(out, "", options->headers[i].value);
    }
    print(out, "\r\n");
}

static void model_response(struct event_source_text *out, const struct scene *scene, enum function function)
{
    static const char *const beginnings[] = {"HTTP/1.1 ", "HTTP/1.0 ", "Status: "};
    int status = function == HEAD ? 200 : function == NO_CONTENT ? 204 : status_of(scene->error);
    char retry[32], length[32];

    retry_of(scene, retry);
    snprintf(length, sizeof(length), "%zu", status == 200 ? strlen(retry) : 0);
    print(out, beginnings[scene->options.version]);
    print(out, status == 200   ? "200 OK\r\n"
               : status == 204 ? "204 No Content\r\n"
               : status == 400 ? "400 Bad Request\r\n"
                               : "500 Internal Server Error\r\n");
    if (status == 200)
        print_stream_fields(out);
    if (function == HEAD && scene->options.chunked)
        print(out, "Transfer-Encoding: chunked\r\n");
    if (function == REFUSE)
        print_field(out, "Content-Length", sse_str(length));
    print_other_fields(out, &scene->options);
    if (function == REFUSE && status == 200)
        print(out, retry);
}

/* The library is asked. */

static ssize_t call(const struct scene *scene, enum function function, void *buffer, size_t size)
{
    if (function == HEAD)
        return sse_http_head(buffer, size, scene->given);
    if (function == NO_CONTENT)
        return sse_http_no_content(buffer, size, scene->given);
    return sse_http_refuse(buffer, size, scene->error, scene->given, scene->random);
}

static void check_room(struct scene *scene, enum function function, ssize_t expected,
                       const struct event_source_text *bytes, size_t size)
{
    unsigned char *buffer = fuzz_room(&scene->texts, size);
    bool fits = expected >= 0 && (size_t)expected <= size;
    ssize_t result;

    memset(buffer, CANARY, size);
    result = call(scene, function, buffer, size);
    fuzz_expect(result == expected, "function %d: %zd, not %zd", function, result, expected);
    fuzz_expect(!fits || !memcmp(buffer, bytes->bytes, bytes->length), "function %d: other bytes", function);
    for (size_t i = fits ? bytes->length : 0; i < size; i++)
        fuzz_expect(buffer[i] == CANARY, "function %d: a byte too many", function);
}

static void check_response(struct scene *scene, enum function function)
{
    struct event_source_text bytes = {.bytes = NULL};
    int error = model_error(scene, function);
    ssize_t size = call(scene, function, NULL, 0);

    if (error) {
        fuzz_expect(error == 1 ? size == -EOVERFLOW || size == -EINVAL : size == error,
                    "function %d: %zd, not %d", function, size, error);
        check_room(scene, function, size, NULL, 16);
        return;
    }
    model_response(&bytes, scene, function);
    fuzz_expect(size == (ssize_t)bytes.length, "function %d: the size %zd", function, size);
    check_room(scene, function, size, &bytes, bytes.length);
    check_room(scene, function, size, &bytes, bytes.length - 1);
    check_room(scene, function, size, &bytes, bytes.length + 1);
    event_source_text_free(&bytes);
}

static void lower_names(struct event_source_text *fields)
{
    bool in_name = true;

    for (size_t i = 0; i < fields->length; i++) {
        char *byte = &fields->bytes[i];

        if (in_name && *byte >= 'A' && *byte <= 'Z')
            *byte = (char)(*byte - 'A' + 'a');
        in_name = *byte == '\n' || (in_name && *byte != ':');
    }
}

static void trim(struct sse_text *text)
{
    while (text->len && (text->ptr[text->len - 1] == ' ' || text->ptr[text->len - 1] == '\t'))
        text->len--;
    for (; text->len && (text->ptr[0] == ' ' || text->ptr[0] == '\t'); text->len--)
        text->ptr++;
}

/* The table has the fields of the head, without its first line, with lower-case names. */
static void check_table(struct scene *scene)
{
    struct sse_http_header table[FIELDS_MAX];
    struct event_source_text expected = {.bytes = NULL}, actual = {.bytes = NULL};
    int error = model_error(scene, HEADERS);
    ssize_t count = sse_http_headers(table, FIELDS_MAX, scene->given);

    fuzz_expect(sse_http_headers(NULL, 0, scene->given) == count, "another count of fields");
    if (error) {
        fuzz_expect(error == 1 ? count == -EOVERFLOW || count == -EINVAL : count == error,
                    "the table of fields: %zd, not %d", count, error);
        return;
    }
    for (ssize_t i = 0; i < count; i++) {
        event_source_text_append(&actual, table[i].name.ptr, table[i].name.len);
        print_field(&actual, "", table[i].value);
    }
    print(&actual, "\r\n");
    for (size_t i = 0; i < scene->options.header_count; i++)
        trim(&scene->headers[i].value);
    print_stream_fields(&expected);
    print_other_fields(&expected, &scene->options);
    lower_names(&expected);
    fuzz_expect(expected.length == actual.length && !memcmp(expected.bytes, actual.bytes, actual.length),
                "another table of fields");
    event_source_text_free(&expected);
    event_source_text_free(&actual);
}

static void check_refusal(const struct scene *scene)
{
    struct sse_http_refusal refusal;
    int result = sse_http_get_refusal(&refusal, scene->error, scene->random);
    char retry[32];

    fuzz_expect(result == (scene->error < 0 ? 0 : -EINVAL), "a refusal gives %d", result);
    if (result)
        return;
    fuzz_expect(refusal.status == status_of(scene->error), "the status %d for %d", refusal.status,
                scene->error);
    fuzz_expect(refusal.event_stream == (refusal.status == 200), "a refusal of the wrong type");
    retry_of(scene, retry);
    fuzz_expect(fuzz_same((struct sse_text){.ptr = refusal.body, .len = refusal.body_size},
                          sse_str(refusal.status == 200 ? retry : "")),
                "another body of a refusal");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.input = {.at = data, .end = data + size}};

    draw(&scene);
    check_response(&scene, HEAD);
    check_response(&scene, NO_CONTENT);
    check_response(&scene, REFUSE);
    check_refusal(&scene);
    check_table(&scene);
    fuzz_texts_free(&scene.texts);
    return 0;
}

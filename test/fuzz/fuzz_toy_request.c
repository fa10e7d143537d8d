/* SPDX-License-Identifier: MIT */
/* The requests of examples/toy_http.h in pieces: an accepted request must be valid, and its texts must be within
 * it. */

#include "toy_http.h"

#include "input.h"

/* The parser's result for one piece. */
static const char *parse(struct toy_request *request, struct sse_text bytes, size_t piece)
{
    const char *status = NULL;

    for (size_t at = 0; !status && at < bytes.len; at = request->size) {
        size_t size = piece < bytes.len - at ? piece : bytes.len - at;

        memcpy(request->bytes + at, bytes.ptr + at, size);
        request->size += size;
        request->bytes[request->size] = '\0';
        status = toy_parse(request);
    }
    return status;
}

static bool is_within(struct sse_text text, const char *start, const char *end)
{
    return !text.ptr || (text.ptr >= start && text.ptr <= end && text.len <= (size_t)(end - text.ptr));
}

/* The first line with this name, found from the line ends. */
static struct sse_text find_header(const char *head, const char *end, const char *name)
{
    for (const char *line = strstr(head, "\r\n") + 2; line < end; line = strstr(line, "\r\n") + 2)
        if (!strncasecmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            return (struct sse_text){line + strlen(name) + 1,
                                     (size_t)(strstr(line, "\r\n") - line) - strlen(name) - 1};
        else if (*line == '\r')
            break;
    return sse_str(NULL);
}

static void check_request(const struct toy_request *request)
{
    static const char *const names[] = {"Host", "Last-Event-ID", "Content-Length", "X"};
    static const char *const routes[] = {"GET /events", "POST /pay", "GET /"};
    const char *end = strstr(request->bytes, "\r\n\r\n"), *line_end = strstr(request->bytes, "\r\n");
    size_t length = (size_t)(line_end - request->bytes);
    const char *minor = request->version == SSE_HTTP_1_1 ? "HTTP/1.1" : "HTTP/1.0";

    fuzz_expect(end && length > 8 && !strncmp(line_end - 8, minor, 8), "the first line is none");
    fuzz_expect(is_within(request->query, request->bytes, line_end), "a query outside of the first line");
    fuzz_expect(is_within(request->body, end + 4, request->bytes + request->size),
                "a body that has not come");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        fuzz_expect(fuzz_same(toy_header(request, names[i]), find_header(request->bytes, end + 2, names[i])),
                    "another %s", names[i]);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
        fuzz_expect(!toy_is(request, routes[i]) || !strncmp(request->bytes, routes[i], strlen(routes[i])),
                    "another route than %s", routes[i]);
    (void)toy_stream_head(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    struct fuzz_texts texts = {.blocks = NULL};
    size_t piece = 1 + fuzz_byte(&input);
    struct sse_text bytes = fuzz_rest(&input, &texts);
    struct toy_request *whole = fuzz_room(&texts, sizeof(*whole)),
                       *pieces = fuzz_room(&texts, sizeof(*pieces));
    const char *status, *in_pieces;

    bytes.len = bytes.len < TOY_REQUEST_SIZE_MAX ? bytes.len : TOY_REQUEST_SIZE_MAX;
    status = parse(whole, bytes, SIZE_MAX);
    in_pieces = parse(pieces, bytes, piece);
    fuzz_expect(!status == !in_pieces && (!status || !strcmp(status, in_pieces)),
                "in pieces it is %s, not %s", in_pieces ? in_pieces : "nothing", status ? status : "nothing");
    if (status == toy_ok)
        check_request(whole);
    if (in_pieces == toy_ok)
        check_request(pieces);
    fuzz_texts_free(&texts);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The requests of examples/hosts/request.c, which are read by http-parser: what comes in pieces means what it
 * means in one, and what is asked for is within its bounds. */

#include "input.h"
#include "request.h"

#include <stdlib.h>

int __wrap_service_publish(struct service *service, const struct service_query *query, const char *data,
                           size_t size);

/* In place of the queue of the service. */
int __wrap_service_publish(struct service *service, const struct service_query *query, const char *data,
                           size_t size)
{
    unsigned sum = 0;

    (void)service;
    fuzz_expect(query->topic.len <= sizeof(query->topic_bytes) && query->topic.ptr == query->topic_bytes,
                "a topic outside of its room");
    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)data[i];
    return sum == UINT32_MAX ? 503 : 202;
}

static int read_pieces(struct request *request, struct sse_text bytes, size_t piece)
{
    int result = 0;

    for (size_t at = 0; !result && at < bytes.len; at += piece)
        result = request_read(request, bytes.ptr + at, piece < bytes.len - at ? piece : bytes.len - at);
    return result;
}

static bool same(const struct request_text *left, const struct request_text *right)
{
    return fuzz_same((struct sse_text){.ptr = left->data, .len = left->size},
                     (struct sse_text){.ptr = right->data, .len = right->size});
}

/* A whole request. */
static int serve(struct request *request)
{
    static struct service service;
    char answer[REQUEST_ANSWER_SIZE];
    struct sse_http_options options = request_http_options(request);
    int status = request_serve(request, &service);
    size_t size = request_answer(answer, status ? status : 500);

    fuzz_expect(!status || (status >= 200 && status < 600), "the status %d", status);
    fuzz_expect(size < sizeof(answer) && !strcmp(answer + size - 4, "\r\n\r\n"), "an answer of %zu bytes",
                size);
    fuzz_expect(sse_http_head(NULL, 0, &options) > 0, "no head");
    if (status)
        return status;
    fuzz_expect(request->query.topic.len <= sizeof(request->query.topic_bytes) &&
                    request->query.last_event_id.len <= sizeof(request->query.id_bytes),
                "a query outside of its room");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    struct fuzz_texts texts = {.blocks = NULL};
    size_t piece = 1 + fuzz_byte(&input);
    struct sse_text bytes = fuzz_rest(&input, &texts);
    struct request whole, pieces;
    int result, in_pieces;

    request_init(&whole);
    request_init(&pieces);
    result = read_pieces(&whole, bytes, bytes.len + 1);
    in_pieces = read_pieces(&pieces, bytes, piece);
    fuzz_expect(result == in_pieces, "in pieces it is %d, not %d", in_pieces, result);
    if (result == 1) {
        fuzz_expect(same(&whole.target, &pieces.target) && same(&whole.body, &pieces.body) &&
                        same(&whole.last_event_id, &pieces.last_event_id),
                    "in pieces it is another request");
        fuzz_expect(serve(&whole) == serve(&pieces), "in pieces it has another answer");
    }
    request_free(&whole);
    request_free(&pieces);
    fuzz_texts_free(&texts);
    return 0;
}

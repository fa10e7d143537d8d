/* SPDX-License-Identifier: MIT */
/* The requests of examples/hosts/request.c, which http-parser reads: a request in pieces must have the same meaning
 * as in one piece, and its texts must be within their limits. */

#include "input.h"
#include "request.h"

#include <stdlib.h>

int __wrap_service_publish(struct service *service, const struct service_query *query, struct body *body);

/* Replaces the queue of the service. */
int __wrap_service_publish(struct service *service, const struct service_query *query, struct body *body)
{
    unsigned sum = 0;

    (void)service;
    fuzz_expect(query->topic.len <= sizeof(query->topic_bytes) && query->topic.ptr == query->topic_bytes,
                "a topic outside of its room");
    for (size_t i = 0; i < body->size; i++)
        sum += (unsigned char)body->data[i];
    return sum == UINT32_MAX ? 503 : 202;
}

static bool read_pieces(struct request *request, struct sse_text bytes, size_t piece)
{
    enum request_progress result = REQUEST_MORE;

    for (size_t at = 0; result != REQUEST_DECIDED && at < bytes.len; at += piece)
        result = request_read(request, bytes.ptr + at, piece < bytes.len - at ? piece : bytes.len - at);
    return result == REQUEST_DECIDED;
}

static bool same(const struct request_text *left, const struct request_text *right)
{
    return fuzz_same((struct sse_text){.ptr = left->data, .len = left->size},
                     (struct sse_text){.ptr = right->data, .len = right->size});
}

static bool same_fields(const struct request *left, const struct request *right)
{
    for (size_t i = 0; i < REQUEST_FIELDS; i++)
        if (!same(&left->fields[i], &right->fields[i]))
            return false;
    return true;
}

static bool same_body(const struct body *left, const struct body *right)
{
    return fuzz_same((struct sse_text){left->data, left->size}, (struct sse_text){right->data, right->size});
}

/* A decided request. */
static int serve(struct request *request)
{
    char answer[REQUEST_ANSWER_SIZE];
    struct sse_http_options options = request_http_options(request);
    int status = request_serve(request);
    size_t size = request_answer(request, answer, status == SERVICE_STREAM ? 500 : status);

    fuzz_expect(status == SERVICE_STREAM || status == SERVICE_HEAD || (status >= 200 && status < 600),
                "the status %d", status);
    fuzz_expect(size > 4 && size < sizeof(answer) && !memcmp(answer + size - 4, "\r\n\r\n", 4),
                "an answer of %zu bytes", size);
    fuzz_expect(sse_http_head(NULL, 0, &options) > 0, "no head");
    fuzz_expect(status || (request->query.topic.len <= sizeof(request->query.topic_bytes) &&
                           request->query.last_event_id.len <= sizeof(request->query.id_bytes)),
                "a query outside of its room");
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct service service;
    struct fuzz_input input = {.at = data, .end = data + size};
    struct fuzz_texts texts = {.blocks = NULL};
    size_t piece = 1 + fuzz_byte(&input);
    struct sse_text bytes = fuzz_rest(&input, &texts);
    struct request whole, pieces;
    bool decided, in_pieces;

    request_init(&whole, &service);
    request_init(&pieces, &service);
    decided = read_pieces(&whole, bytes, bytes.len + 1);
    in_pieces = read_pieces(&pieces, bytes, piece);
    fuzz_expect(decided == in_pieces, "in pieces it is %d, not %d", in_pieces, decided);
    if (decided && whole.status != 400) {
        fuzz_expect(same(&whole.target, &pieces.target) && same_fields(&whole, &pieces) &&
                        same_body(&whole.body, &pieces.body),
                    "in pieces it is another request");
    }
    if (decided)
        fuzz_expect(serve(&whole) == serve(&pieces), "in pieces it has another answer");
    request_free(&whole);
    request_free(&pieces);
    fuzz_expect(!service.bodies, "%zu bytes of bodies are left", (size_t)service.bodies);
    fuzz_texts_free(&texts);
    return 0;
}

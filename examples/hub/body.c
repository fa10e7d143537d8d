/* SPDX-License-Identifier: MIT */
#include "body.h"

int body_begin(struct body *body, const struct request *request, size_t limit)
{
    body->framing = request->framing;
    body->limit = limit;
    if (request->framing != REQUEST_FRAMING_LENGTH)
        return 0;
    if (request->content_length > limit)
        return 413;
    body->left = (size_t)request->content_length;
    return 0;
}

int body_feed(struct body *body, const char *bytes, size_t size)
{
    int status;

    if (body->framing == REQUEST_FRAMING_CHUNKED) {
        status = chunked_feed(&body->chunked, bytes, size, &body->bytes, body->limit);
    } else {
        size_t room = size < body->left ? size : body->left;

        buffer_append(&body->bytes, bytes, room);
        body->left -= room;
        status = body->left == 0;
    }
    return body->bytes.failed ? 503 : status;
}

void body_release(struct body *body)
{
    buffer_release(&body->bytes);
}

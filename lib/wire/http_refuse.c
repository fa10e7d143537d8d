/* SPDX-License-Identifier: MIT */
#include <sse/http.h>

#include "wire/http_options.h"
#include "wire/http_response.h"
#include "wire/text.h"

#include <errno.h>

#define RETRY_MIN_MS UINT64_C(2000)
#define RETRY_MAX_MS UINT64_C(10000)

static int status_of(int error)
{
    switch (error) {
    case -EAGAIN:
    case -ECONNREFUSED:
    case -ENOMEM:
    case -ENOSPC:
        return 200;
    case -EBADMSG:
    case -EILSEQ:
        return 400;
    default:
        return 500;
    }
}

static struct sse_text reason_of(int status)
{
    if (status == 200)
        return sse_str("OK");
    return sse_str(status == 400 ? "Bad Request" : "Internal Server Error");
}

static size_t write_retry(char *body, uint64_t random)
{
    struct text_writer writer = {.buffer = body};
    char digits[TEXT_DECIMAL_SIZE];
    uint64_t retry_ms = RETRY_MIN_MS + random % (RETRY_MAX_MS - RETRY_MIN_MS + 1);

    sse_text_write(&writer, sse_str("retry: "));
    sse_text_write(&writer, sse_text_decimal(retry_ms, digits));
    sse_text_write(&writer, sse_str("\n\n"));
    return writer.length;
}

int sse_http_get_refusal(struct sse_http_refusal *refusal, int error, uint64_t random)
{
    struct sse_text reason;

    if (!refusal || error >= 0)
        return -EINVAL;
    *refusal = (struct sse_http_refusal){.status = status_of(error)};
    reason = reason_of(refusal->status);
    memcpy(refusal->reason, reason.ptr, reason.len);
    if (refusal->status != 200)
        return 0;
    refusal->body_size = write_retry(refusal->body, random);
    refusal->event_stream = true;
    return 0;
}

ssize_t sse_http_refuse(void *buffer, size_t size, int error, const struct sse_http_options *options,
                        uint64_t random)
{
    struct sse_http_refusal refusal;
    struct http_response response = {0};
    char digits[TEXT_DECIMAL_SIZE];
    int result = sse_http_get_refusal(&refusal, error, random);

    if (!result)
        result = sse_http_options_read_for(&response.options, options, buffer, size);
    if (result)
        return result;
    response.status = refusal.status;
    response.reason = refusal.reason;
    response.body = (struct sse_text){.ptr = refusal.body, .len = refusal.body_size};
    if (refusal.event_stream)
        sse_http_response_add_stream(&response);
    sse_http_response_add(&response, HTTP_CONTENT_LENGTH, sse_text_decimal(refusal.body_size, digits));
    sse_http_response_add_cors(&response);
    return sse_http_response_write(&response, buffer, size);
}

/* SPDX-License-Identifier: MIT */
#include "incoming.h"

#include "ascii.h"
#include "entry.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 4096
/* The limit for all bodies together: 64 of the largest size. */
#define BODY_BYTES_MAX ((size_t)64 * ENTRY_EVENT_MAX)

struct incoming *incoming_new(struct incoming_totals *totals, int fd)
{
    struct incoming *incoming = calloc(1, sizeof(*incoming));

    if (!incoming) {
        close(fd);
        return NULL;
    }
    incoming->totals = totals;
    incoming->fd = fd;
    atomic_fetch_add(&totals->count, 1);
    return incoming;
}

static void release_body(struct incoming *incoming)
{
    body_release(&incoming->body);
    atomic_fetch_sub(&incoming->totals->body_bytes, incoming->body_bytes);
    incoming->body_bytes = 0;
}

void incoming_free(struct incoming *incoming)
{
    if (incoming->fd >= 0)
        close(incoming->fd);
    release_body(incoming);
    atomic_fetch_sub(&incoming->totals->count, 1);
    free(incoming);
}

static enum incoming_progress take_body(struct incoming *incoming, const char *bytes, size_t size,
                                        int *status)
{
    size_t grown;

    *status = body_feed(&incoming->body, bytes, size);
    grown = incoming->body.bytes.capacity - incoming->body_bytes;
    incoming->body_bytes += grown;
    if (atomic_fetch_add(&incoming->totals->body_bytes, grown) + grown > BODY_BYTES_MAX)
        *status = 503;
    if (*status == 0)
        return INCOMING_MORE;
    return *status == 1 ? INCOMING_WHOLE : INCOMING_BAD;
}

/* Bytes after the head stay in the socket until it is known whether the body is needed. */
static enum incoming_progress take_head(struct incoming *incoming, const char *bytes, size_t size,
                                        int *status)
{
    char taken[READ_SIZE];
    size_t used = 0;

    *status = request_feed(&incoming->request, bytes, size, &used);
    incoming->has_begun = true;
    (void)recv(incoming->fd, taken, used, 0);
    if (*status == 0)
        return INCOMING_MORE;
    if (*status != 1)
        return INCOMING_BAD;
    incoming->has_head = true;
    return INCOMING_HEAD;
}

static enum incoming_progress at_end(struct incoming *incoming, int *status)
{
    *status = 400;
    return incoming->has_begun && !incoming->is_answered ? INCOMING_BAD : INCOMING_GONE;
}

enum incoming_progress incoming_read(struct incoming *incoming, int *status)
{
    const bool is_head = !incoming->has_head && !incoming->is_answered;
    char bytes[READ_SIZE];
    ssize_t size = recv(incoming->fd, bytes, sizeof(bytes), is_head ? MSG_PEEK : 0);

    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? INCOMING_MORE : INCOMING_GONE;
    if (size == 0)
        return at_end(incoming, status);
    if (incoming->is_answered)
        return INCOMING_MORE;
    return is_head ? take_head(incoming, bytes, (size_t)size, status)
                   : take_body(incoming, bytes, (size_t)size, status);
}

/* RFC 9110 section 10.1.1. */
static void invite(const struct incoming *incoming)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct sse_text expect = request_header(&incoming->request, "Expect");

    if (incoming->request.version == SSE_HTTP_1_1 && ascii_equals_ignoring_case(expect, "100-continue"))
        (void)send(incoming->fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
}

enum incoming_progress incoming_read_body(struct incoming *incoming, int *status)
{
    enum incoming_progress progress;

    *status = body_begin(&incoming->body, &incoming->request, ENTRY_EVENT_MAX);
    if (*status != 0)
        return INCOMING_BAD;
    /* A body without bytes is complete. */
    progress = take_body(incoming, "", 0, status);
    if (progress == INCOMING_MORE)
        invite(incoming);
    return progress;
}

void incoming_linger(struct incoming *incoming)
{
    release_body(incoming);
    incoming->is_answered = true;
    (void)shutdown(incoming->fd, SHUT_WR);
}

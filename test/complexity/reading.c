/* SPDX-License-Identifier: MIT */
/* What it costs to read bytes from a queue. */
#include "scene.h"

#define READ "emitter_read, peek, consume, wait, interrupt"

/* A reader with n events in its queue. */
static struct sse_emitter *open_reader(size_t n, bool with_loop)
{
    struct sse_emitter_options options;
    struct sse_emitter *emitter;

    scene_open(NULL);
    options = scene_options();
    options.output = SSE_OUTPUT_PULL;
    options.write = NULL;
    options.loop = with_loop ? scene.loop : NULL;
    options.queue_messages = 2 * n;
    emitter = scene_add(&options, NULL, 0);
    scene_settle();
    (void)scene_publish_many(absent, n, NULL);
    return emitter;
}

static uint64_t read_all(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    char *buffer = malloc(20 * n);
    uint64_t before = steps_count();
    ssize_t size = sse_emitter_read(emitter, buffer, 20 * n);

    before = steps_count() - before;
    scene_check(size > 0 && (size_t)size >= 14 * n, "not all was read");
    free(buffer);
    scene_close();
    return before;
}

static uint64_t read_some(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    char buffer[1000];
    uint64_t before = steps_count();

    scene_check(sse_emitter_read(emitter, buffer, sizeof(buffer)) == sizeof(buffer), "less was read");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* Without a loop the reader's thread does the emitter's work. */
static uint64_t read_some_without_a_loop(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, false);
    char buffer[1000];
    uint64_t before = steps_count();

    scene_check(sse_emitter_read(emitter, buffer, sizeof(buffer)) == sizeof(buffer), "less was read");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t peek_at_all(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    struct iovec *iov = calloc(n, sizeof(*iov));
    uint64_t before = steps_count();

    scene_check(iov && sse_emitter_peek(emitter, iov, (int)n) == (int)n, "less was shown");
    before = steps_count() - before;
    free(iov);
    scene_close();
    return before;
}

static uint64_t peek_at_some(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    struct iovec iov[16];
    uint64_t before = steps_count();

    scene_check(sse_emitter_peek(emitter, iov, 16) == 16, "less was shown");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t consume_all(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    struct iovec *iov = calloc(n, sizeof(*iov));
    size_t size = 0;
    uint64_t before;

    scene_check(iov && sse_emitter_peek(emitter, iov, (int)n) == (int)n, "less was shown");
    for (size_t i = 0; i < n; i++)
        size += iov[i].iov_len;
    before = steps_count();
    scene_check(!sse_emitter_consume(emitter, size), "not consumed");
    before = steps_count() - before;
    free(iov);
    scene_close();
    return before;
}

static uint64_t consume_some(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    struct iovec iov[16];
    uint64_t before;

    scene_check(sse_emitter_peek(emitter, iov, 16) == 16, "less was shown");
    before = steps_count();
    scene_check(!sse_emitter_consume(emitter, iov[0].iov_len + 1), "not consumed");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t wait_with_a_queue(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, false);
    uint64_t before = steps_count();

    scene_check(sse_emitter_wait(emitter, 0) == 1, "nothing to read");
    scene_check(!sse_emitter_interrupt(emitter), "not interrupted");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* Bytes that are queued at the end can still be peeked at. */
static uint64_t read_after_the_end(size_t n)
{
    struct sse_emitter *emitter = open_reader(n, true);
    struct iovec iov[16];
    uint64_t before;

    scene_check(sse_emitter_peek(emitter, iov, 16) == 16, "less was shown");
    (void)sse_emitter_abort(emitter, -EPIPE);
    scene_settle();
    before = steps_count();
    scene_check(sse_emitter_peek(emitter, iov, 16) == -EPIPE, "it has not ended");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t flush_with_a_queue(size_t n)
{
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    options.registry = NULL;
    options.loop = NULL;
    options.queue_messages = 2 * n;
    scene.full = true;
    emitter = scene_add(&options, NULL, 0);
    for (size_t i = 0; i < n; i++)
        (void)sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("x")});
    scene.full = false;
    before = steps_count();
    scene_check(sse_emitter_flush(emitter) == 1, "all was written");
    before = steps_count() - before;
    scene_close();
    return before;
}

const struct cost costs_of_reading[] = {
    COST("emitter_read, peek, consume", "what is read", LINEAR, 1000, read_all),
    COST(READ, "events queued", CONSTANT, 1000, read_some),
    COST(READ, "events queued", CONSTANT, 1000, read_some_without_a_loop),
    COST("emitter_read, peek, consume", "what is read", LINEAR, 1000, peek_at_all),
    COST(READ, "events queued", CONSTANT, 1000, peek_at_some),
    COST("emitter_read, peek, consume", "events left after the end, once", LINEAR, 1000, read_after_the_end),
    COST("emitter_read, peek, consume", "what is read", LINEAR, 1000, consume_all),
    COST(READ, "events queued", CONSTANT, 1000, consume_some),
    COST(READ, "events queued", CONSTANT, 1000, wait_with_a_queue),
    COST("loop_turn; emitter_flush", "events queued", CONSTANT, 5000, flush_with_a_queue),
    {.name = NULL},
};

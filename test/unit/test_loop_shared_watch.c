/* SPDX-License-Identifier: MIT */
/* Emitters that share a socket, or its number. A polled loop waits for what they need now, and is idle
 * otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"
#include "loop_stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENT "data: x\n\n"

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};
static const struct sse_event event = {.data = {"x", 1}};

/* One stream over a socket to which the server itself writes. */
struct stream {
    struct loop_stage *stage;
    struct descriptor_pair *pair;
    struct sse_emitter *emitter;
    bool busy_elsewhere; /* the write callback is full for another reason than its socket */
};

static ssize_t write_to_socket(void *user, const struct iovec *iov, int count)
{
    struct stream *stream = user;
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                                   .msg_iovlen = (unsigned short)count};
    ssize_t sent;

    if (stream->busy_elsewhere)
        return -EAGAIN;
    sent = sendmsg(stream->pair->server, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

static void settle(struct loop_stage *stage)
{
    for (int i = 0; i < 5; i++)
        loop_stage_dispatch(stage);
}

/* If the loop is not idle after a few turns, a wait without a limit would not end. */
static void expect_rest(struct loop_stage *stage)
{
    struct poller_event events[POLLER_EVENTS_MAX];

    settle(stage);
    assert_int_equal(stage->loop->poller->wait(stage->loop->poller, events, 0), 0);
}

/* The work of a server that takes bytes when it likes. */
static void pull(struct stream *stream, const char *text)
{
    char buffer[64];

    assert_int_equal(sse_emitter_read(stream->emitter, buffer, sizeof(buffer)), strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
    assert_int_equal(sse_emitter_read(stream->emitter, buffer, sizeof(buffer)), 0);
}

static void open_stream(struct stream *stream, struct loop_stage *stage, enum sse_output output,
                        struct descriptor_pair *pair)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = &stage->fake.platform,
        .loop = stage->loop,
        .output = output,
        .fd = output == SSE_OUTPUT_FD ? pair->server : 0,
        .keep_fd = output == SSE_OUTPUT_FD,
        .write = output == SSE_OUTPUT_CALLBACK ? write_to_socket : NULL,
        .watch_fd = output == SSE_OUTPUT_FD ? 0 : pair->server,
        .heartbeat_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .queue_bytes = (size_t)64 << 20,
        .user = stream,
    };

    *stream = (struct stream){.stage = stage, .pair = pair};
    assert_int_equal(sse_emitter_new(&stream->emitter, &options, NULL), 0);
    settle(stage);
    if (output == SSE_OUTPUT_PULL)
        pull(stream, ":\n");
    else
        pair_expect(pair, ":\n");
}

static void close_stream(struct stream *stream)
{
    sse_emitter_close(stream->emitter);
    stream->emitter = NULL;
    settle(stream->stage);
}

static void fill(struct descriptor_pair *pair)
{
    static const char bytes[4096];

    for (size_t size = sizeof(bytes); size > 0; size /= 2)
        while (send(pair->server, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            ;
}

/* No emitter asks for room, whatever other emitters there are. */
static void readers_of_one_socket_do_not_keep_the_loop_awake(void **state)
{
    for (int count = 1; count <= 3; count++) {
        struct descriptor_pair pair;
        struct stream streams[3];

        pair_open(&pair, PAIR_STREAM);
        for (int i = 0; i < count; i++)
            open_stream(&streams[i], *state, SSE_OUTPUT_PULL, &pair);
        expect_rest(*state);
        assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
        settle(*state);
        for (int i = 0; i < count; i++)
            pull(&streams[i], ":\n");
        expect_rest(*state);
        for (int i = 0; i < count; i++)
            close_stream(&streams[i]);
        pair_close(&pair);
    }
}

/* The reader was notified, and comes when it likes. Room in the socket does not concern it. */
static void a_late_reader_does_not_keep_the_loop_awake(void **state)
{
    for (int half_closed = 0; half_closed < 2; half_closed++) {
        struct descriptor_pair pair;
        struct stream stream;

        pair_open(&pair, PAIR_TCP);
        open_stream(&stream, *state, SSE_OUTPUT_PULL, &pair);
        if (half_closed)
            assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
        else
            assert_int_equal(sse_emitter_send(stream.emitter, &event), 0);
        expect_rest(*state);
        pull(&stream, half_closed ? ":\n" : EVENT);
        close_stream(&stream);
        pair_close(&pair);
    }
}

/* The emitter that asked for room is closed, so nobody waits for room any more. */
static void a_closed_emitter_asks_for_nothing(void **state)
{
    struct descriptor_pair pair;
    struct stream asked, other;

    pair_open(&pair, PAIR_STREAM);
    open_stream(&asked, *state, SSE_OUTPUT_CALLBACK, &pair);
    open_stream(&other, *state, SSE_OUTPUT_CALLBACK, &pair);
    fill(&pair);
    assert_int_equal(sse_emitter_send(asked.emitter, &event), 0);
    expect_rest(*state);
    close_stream(&asked);
    (void)pair_discard(&pair);
    expect_rest(*state);
    close_stream(&other);
    pair_close(&pair);
}

/* An emitter that has written everything, or was closed, stops asking. The others still ask. */
static void the_others_still_ask_for_room(void **state)
{
    for (int leaves = 0; leaves < 2; leaves++) {
        struct descriptor_pair pair;
        struct stream first, second;

        pair_open(&pair, PAIR_STREAM);
        open_stream(&first, *state, SSE_OUTPUT_CALLBACK, &pair);
        open_stream(&second, *state, SSE_OUTPUT_CALLBACK, &pair);
        fill(&pair);
        assert_int_equal(sse_emitter_send(first.emitter, &event), 0);
        assert_int_equal(sse_emitter_send(second.emitter, &event), 0);
        settle(*state);
        if (leaves) {
            close_stream(&first);
        } else {
            /* The emitter's own turn notices that it waits for something else. */
            (void)pair_discard(&pair);
            first.busy_elsewhere = true;
            assert_int_equal(sse_emitter_flush(first.emitter), 1);
        }
        (void)pair_discard(&pair);
        settle(*state);
        pair_expect(&pair, EVENT);
        expect_rest(*state);
        close_stream(&first);
        close_stream(&second);
        pair_close(&pair);
    }
}

/* The loop may look after another thread has closed the emitter. */
static void nobody_asks_for_an_emitter_that_no_longer_watches(void **state)
{
    struct loop_stage *stage = *state;

    for (int shared = 0; shared < 2; shared++) {
        struct descriptor_pair pair;
        struct sse_emitter *kept;
        struct stream first, second;

        pair_open(&pair, PAIR_STREAM);
        open_stream(&first, stage, SSE_OUTPUT_CALLBACK, &pair);
        if (shared)
            open_stream(&second, stage, SSE_OUTPUT_CALLBACK, &pair);
        kept = sse_emitter_ref(first.emitter);
        assert_true(sse_watches_must_ask(&stage->loop->watches, kept));
        close_stream(&first);
        assert_false(sse_watches_must_ask(&stage->loop->watches, kept));
        sse_emitter_unref(kept);
        if (shared)
            close_stream(&second);
        settle(stage);
        pair_close(&pair);
    }
}

/* Its last turn comes when its number belongs to another client. That client's disconnect is still noticed. */
static void one_that_was_closed_changes_nothing_for_the_next(void **state)
{
    static char text[1 << 20];
    const struct sse_event large = {.data = {memset(text, 'x', sizeof(text)), sizeof(text)}};
    struct descriptor_pair old, next;
    struct stream closed, stream;

    pair_open(&old, PAIR_STREAM);
    open_stream(&closed, *state, SSE_OUTPUT_FD, &old);
    assert_int_equal(shutdown(old.client, SHUT_WR), 0);
    settle(*state);
    assert_int_equal(sse_emitter_send(closed.emitter, &large), 0);
    settle(*state);
    sse_emitter_close(closed.emitter);
    pair_open(&next, PAIR_STREAM);
    assert_int_equal(dup2(next.server, old.server), old.server);
    close(next.server);
    next.server = old.server;
    open_stream(&stream, *state, SSE_OUTPUT_FD, &next);
    assert_int_equal(shutdown(next.client, SHUT_WR), 0);
    settle(*state);
    pair_expect(&next, ":\n");
    expect_rest(*state);
    close_stream(&stream);
    pair_leave(&old);
    pair_close(&next);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_emitter_asks_for_nothing, poller),
        TEST(the_others_still_ask_for_room, poller),
        TEST(nobody_asks_for_an_emitter_that_no_longer_watches, poller),
        TEST(one_that_was_closed_changes_nothing_for_the_next, poller),
    };
    const struct CMUnitTest tests_of_hangups[] = {
        TEST(readers_of_one_socket_do_not_keep_the_loop_awake, poller),
        TEST(a_late_reader_does_not_keep_the_loop_awake, poller),
    };
    int failed = cmocka_run_group_tests_name(name, tests, NULL, NULL);

    if (loop_stage_hears_hangups(*poller))
        failed += cmocka_run_group_tests_name(name, tests_of_hangups, NULL, NULL);
    return failed;
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}

/* SPDX-License-Identifier: MIT */
/* What a polled loop does for one connection, from sse_emitter_new to the end. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

static bool is_open(struct loop_client *client)
{
    struct sse_emitter_info info;

    assert_int_equal(sse_emitter_get_info(client->emitter, &info, sizeof(info)), 0);
    return info.state == SSE_STATE_OPEN;
}

/* The loop closes the descriptor, and frees the emitter when the owner has closed it. */
static void ends(struct loop_client *client, enum sse_reason reason, int error)
{
    loop_client_dispatch_to_end(client);
    assert_int_equal(client->reason, reason);
    assert_int_equal(client->error, error);
    loop_stage_dispatch(client->stage);
    assert_int_equal(atomic_load(&client->releases), 0);
    assert_int_equal(sse_loop_count(client->stage->loop), 1);
    loop_client_close(client);
    loop_stage_dispatch(client->stage);
    assert_int_equal(atomic_load(&client->completions), 1);
    assert_int_equal(atomic_load(&client->releases), 1);
    assert_int_equal(sse_loop_count(client->stage->loop), 0);
}

/* Writing */

static void events_arrive(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(loop_client_send(&client, "one"), 0);
    loop_client_expect(&client, "data: one\n\n");
    assert_int_equal(sse_registry_publish(client.stage->registry, sse_str(NULL),
                                          &(struct sse_event){.data = sse_str("two")}, NULL),
                     0);
    loop_client_expect(&client, "data: two\n\n");
    assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
    ends(&client, SSE_REASON_ABORTED, -EPROTO);
}

static void slow_reader_gets_all(struct loop_stage *stage, enum loop_client_kind kind)
{
    struct loop_client client;
    size_t size;

    loop_client_open(&client, stage, kind, NULL);
    size = loop_client_fill(&client);
    for (int i = 0; i < 80; i++)
        size += loop_client_fill(&client);
    assert_true(size > (size_t)5 << 20);
    loop_client_drain(&client, size);
    /* Bytes that the socket does not accept the second time are written later too. */
    size = loop_client_fill(&client);
    loop_client_drain(&client, size);
    loop_stage_dispatch(stage);
    assert_true(loop_client_is_quiet(&client));
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

static void slow_readers_get_all(void **state)
{
    for (int kind = LOOP_CLIENT_TCP; kind <= LOOP_CLIENT_BLOCKING_PIPE; kind++)
        slow_reader_gets_all(*state, (enum loop_client_kind)kind);
}

/* When the loop looks at the socket for the first time, it is already full, or has room again. */
static void full_before_the_first_turn(void **state)
{
    for (int has_room = 0; has_room < 2; has_room++) {
        struct loop_client client;
        char buffer[4096];
        size_t size;
        ssize_t received;

        loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
        size = loop_client_fill(&client);
        while (has_room && (received = read(client.fd, buffer, sizeof(buffer))) > 0)
            size -= (size_t)received;
        assert_true(size > 0);
        loop_client_drain(&client, size);
        assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
        ends(&client, SSE_REASON_ABORTED, -EPROTO);
    }
}

static void graceful_end_of_a_slow_reader(void **state)
{
    const struct sse_emitter_options options = {
        .framing = SSE_FRAMING_CHUNKED, .heartbeat_ms = SSE_TIMER_OFF, .stall_ms = SSE_TIMER_OFF};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &options);
    (void)loop_client_fill(&client);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&client.completions), 0);
    assert_true(descriptor_is_open(client.server_fd));
    while (!atomic_load(&client.completions))
        loop_client_drain(&client, 1);
    loop_client_dispatch_to_end(&client);
    (void)loop_client_read_to_end(&client);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

/* The owner has closed the emitter, and the loop continues until the last byte, the drain timer, or the client's
 * end. */
static void closed_while_it_drains(void **state)
{
    static const enum sse_reason reasons[] = {SSE_REASON_COMPLETED, SSE_REASON_DRAIN_TIMEOUT,
                                              SSE_REASON_DISCONNECTED};

    for (int way = 0; way < 3; way++) {
        const struct sse_emitter_options options = {.framing = SSE_FRAMING_CHUNKED,
                                                    .heartbeat_ms = SSE_TIMER_OFF,
                                                    .stall_ms = SSE_TIMER_OFF,
                                                    .drain_ms = 1000};
        struct loop_client client;
        size_t size;

        loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &options);
        size = loop_client_fill(&client);
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
        sse_emitter_close(client.emitter);
        client.emitter = NULL;
        loop_stage_dispatch(*state);
        assert_int_equal(atomic_load(&client.completions), 0);
        assert_true(descriptor_is_open(client.server_fd));
        if (way == 0)
            loop_client_drain(&client, size);
        else if (way == 1)
            fake_platform_advance_ms(&client.stage->fake, 1000);
        else
            loop_client_leave(&client);
        loop_client_dispatch_to_end(&client);
        loop_stage_dispatch(*state);
        assert_int_equal(client.reason, reasons[way]);
        assert_int_equal(atomic_load(&client.releases), 1);
        loop_client_leave(&client);
    }
}

/* The server keeps no pointer to it. */
static void an_emitter_that_the_loop_keeps_alone(void **state)
{
    struct loop_stage *stage = *state;

    for (int way = 0; way < 2; way++) {
        struct sse_emitter_options options = {.size = sizeof(options),
                                              .platform = &stage->fake.platform,
                                              .registry = stage->registry,
                                              .loop = stage->loop,
                                              .output = SSE_OUTPUT_FD,
                                              .heartbeat_ms = SSE_TIMER_OFF};
        struct loop_client client;

        loop_client_connect(&client, stage, LOOP_CLIENT_TCP);
        options.fd = client.server_fd;
        assert_int_equal(sse_emitter_new(NULL, &options, NULL), 0);
        assert_int_equal(sse_registry_publish(stage->registry, sse_str(NULL),
                                              &(struct sse_event){.data = sse_str("x")}, NULL),
                         0);
        loop_client_expect(&client, ":\ndata: x\n\n");
        assert_int_equal(sse_loop_count(stage->loop), 1);
        if (way)
            assert_int_equal(sse_registry_complete(stage->registry, sse_str(NULL)), 0);
        else
            loop_client_leave(&client);
        while (sse_loop_count(stage->loop))
            assert_int_equal(sse_loop_dispatch(stage->loop, -1), 0);
        assert_false(descriptor_is_open(client.server_fd));
        loop_client_leave(&client);
    }
}

/* Ends, for any reason */

static void overflowed(void **state)
{
    const struct sse_emitter_options options = {
        .queue_bytes = 1024, .heartbeat_ms = SSE_TIMER_OFF, .stall_ms = SSE_TIMER_OFF};
    const struct sse_event event = {.data = sse_str("0123456789abcdef")};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &options);
    while (is_open(&client))
        assert_int_equal(sse_registry_publish(client.stage->registry, sse_str(NULL), &event, NULL), 0);
    assert_int_equal(atomic_load(&client.completions), 0);
    ends(&client, SSE_REASON_OVERFLOW, -ENOBUFS);
}

static void timer_ends_it(struct loop_stage *stage, const struct sse_emitter_options *options, bool blocked,
                          enum sse_reason reason)
{
    struct loop_client client;

    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, options);
    if (blocked)
        (void)loop_client_fill(&client);
    if (options->drain_ms)
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_stage_dispatch(stage);
    fake_platform_advance_ms(&stage->fake, 999);
    loop_stage_dispatch(stage);
    assert_true(descriptor_is_open(client.server_fd));
    fake_platform_advance_ms(&stage->fake, 1);
    loop_stage_dispatch(stage);
    assert_false(descriptor_is_open(client.server_fd));
    ends(&client, reason, reason == SSE_REASON_LIFETIME ? 0 : -ETIMEDOUT);
}

static void timers_end_it(void **state)
{
    const struct sse_emitter_options lifetime = {.lifetime_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};
    const struct sse_emitter_options stall = {.stall_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};
    const struct sse_emitter_options drain = {
        .drain_ms = 1000, .stall_ms = SSE_TIMER_OFF, .heartbeat_ms = SSE_TIMER_OFF};
    const struct sse_emitter_options start = {
        .paused = true, .start_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};

    timer_ends_it(*state, &lifetime, false, SSE_REASON_LIFETIME);
    timer_ends_it(*state, &stall, true, SSE_REASON_STALLED);
    timer_ends_it(*state, &drain, true, SSE_REASON_DRAIN_TIMEOUT);
    timer_ends_it(*state, &start, false, SSE_REASON_NOT_STARTED);
}

static void heartbeats_are_sent(void **state)
{
    const struct sse_emitter_options options = {.heartbeat_ms = 1000};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    loop_stage_dispatch(*state);
    assert_true(loop_client_is_quiet(&client));
    for (int i = 0; i < 3; i++) {
        fake_platform_advance_ms(&client.stage->fake, 1000);
        loop_client_expect(&client, ":\n");
    }
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

/* A client, and the loop in which its callbacks ran. */
static void ended_before_the_first_turn(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    assert_int_equal(atomic_load(&client.completions), 0);
    assert_true(descriptor_is_open(client.server_fd));
    ends(&client, SSE_REASON_COMPLETED, 0);
    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    sse_emitter_close(client.emitter);
    client.emitter = NULL;
    assert_int_equal(atomic_load(&client.completions), 0);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(client.reason, SSE_REASON_CLOSED);
    loop_client_leave(&client);
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&client.releases), 1);
}

/* Descriptors that are not sockets */

static void open_terminal(struct loop_client *client, struct loop_stage *stage)
{
    memset(client, 0, sizeof(*client));
    client->stage = stage;
    client->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (client->fd < 0 || grantpt(client->fd) || unlockpt(client->fd))
        skip();
    client->server_fd = open(ptsname(client->fd), O_RDWR | O_NOCTTY);
    if (client->server_fd < 0)
        skip();
    assert_int_equal(loop_client_try_open(client, NULL), 0);
    loop_client_expect(client, ":\r\n");
}

static void terminal(void **state)
{
    struct loop_client client;

    open_terminal(&client, *state);
    assert_int_equal(loop_client_send(&client, "tty"), 0);
    loop_client_expect(&client, "data: tty\r\n\r\n");
    /* The library does not read what is typed. */
    assert_int_equal(write(client.fd, "typed\n", 6), 6);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    assert_true(is_open(&client));
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(client.reason, SSE_REASON_DISCONNECTED);
    loop_client_close(&client);
}

/* epoll does not accept a regular file, which always has room. */
static void a_device_without_poll_is_written_to(void **state)
{
    struct loop_client client = {.stage = *state, .fd = -1, .server_fd = open("/dev/null", O_WRONLY)};

    assert_true(client.server_fd >= 0);
    assert_int_equal(loop_client_try_open(&client, NULL), 0);
    assert_int_equal(loop_client_send(&client, "x"), 0);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    assert_true(is_open(&client));
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

static void the_flags_of_the_descriptor_stay(void **state)
{
    for (int kind = LOOP_CLIENT_TCP; kind <= LOOP_CLIENT_BLOCKING_PIPE; kind++) {
        struct loop_client client;
        int flags;

        loop_client_connect(&client, *state, (enum loop_client_kind)kind);
        flags = fcntl(client.server_fd, F_GETFL);
        loop_client_make_emitter(&client, NULL);
        loop_client_drain(&client, loop_client_fill(&client));
        assert_int_equal(fcntl(client.server_fd, F_GETFL), flags);
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
        ends(&client, SSE_REASON_COMPLETED, 0);
    }
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(events_arrive, poller),
        TEST(slow_readers_get_all, poller),
        TEST(full_before_the_first_turn, poller),
        TEST(graceful_end_of_a_slow_reader, poller),
        TEST(closed_while_it_drains, poller),
        TEST(an_emitter_that_the_loop_keeps_alone, poller),
        TEST(overflowed, poller),
        TEST(timers_end_it, poller),
        TEST(heartbeats_are_sent, poller),
        TEST(ended_before_the_first_turn, poller),
        TEST(terminal, poller),
        TEST(a_device_without_poll_is_written_to, poller),
        TEST(the_flags_of_the_descriptor_stay, poller),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}

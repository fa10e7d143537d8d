/* SPDX-License-Identifier: MIT */
/* Who owns the descriptor, which options are set on it, and how it is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"
#include "descriptor_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct descriptor_pair pair;

static void prepare(enum pair_kind kind, bool looped)
{
    pair_open(&pair, kind);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.loop = looped ? &loop : NULL;
    client.options.fd = pair.server;
}

static void finish(void)
{
    fake_client_free(&client);
    pair_close(&pair);
}

static void let_owner_work(void)
{
    if (client.loop)
        (void)fake_loop_settle(&loop);
    else
        (void)sse_emitter_flush(client.emitter);
}

static int socket_option(int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(pair.server, level, name, &value, &size), 0);
    return value;
}

/* The kernel notices a vanished client after stall_ms, and not only after many minutes. */
static void the_options_of_the_socket_are_set(void **state)
{
    static const int64_t stalls[] = {0, 12345, SSE_TIMER_OFF, INT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(stalls) * 2; i++) {
        bool keep = i % 2;
        int nodelay, timeout = -1;

        prepare(PAIR_TCP, i % 4 < 2);
        nodelay = socket_option(IPPROTO_TCP, TCP_NODELAY);
        assert_int_equal(nodelay, 0);
        client.options.stall_ms = stalls[i / 2];
        client.options.keep_socket_options = keep;
        fake_client_open(&client);
        assert_int_equal(!socket_option(IPPROTO_TCP, TCP_NODELAY), keep);
#if defined(TCP_USER_TIMEOUT) && !defined(SSE_BARE_SYSTEM)
        timeout = socket_option(IPPROTO_TCP, TCP_USER_TIMEOUT);
        if (keep || stalls[i / 2] == SSE_TIMER_OFF || stalls[i / 2] == INT64_MAX)
            assert_int_equal(timeout, 0);
        else
            assert_int_equal(timeout, stalls[i / 2] ? (int)stalls[i / 2] : 30000);
#endif
        (void)timeout;
        finish();
    }
}

/* The ways in which an emitter ends, and the reason of each. */
static void end_it(size_t way)
{
    if (way == 0)
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
    if (way == 1)
        assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
    if (way == 2)
        fake_platform_advance_ms(&fake, 1000);
    if (way == 3)
        pair_leave(&pair);
    /* TCP reports the disconnect only after something was sent. */
    do {
        if (way == 3)
            (void)sse_emitter_ping(client.emitter);
        let_owner_work();
    } while (fake_client_info(&client).state != SSE_STATE_CLOSED);
}

static bool was_open;

static void look_at_descriptor(struct sse_emitter *emitter, const struct sse_completion *completion,
                               void *user)
{
    (void)emitter, (void)completion;
    was_open = descriptor_is_open(*(int *)user);
}

/* The descriptor is closed right after on_completion, without waiting for the owner to close the emitter. */
static void the_descriptor_is_closed_at_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * 2 * 4; i++) {
        enum pair_kind kind = (enum pair_kind)(i / 8);
        struct sse_emitter *emitter;
        int fd;

        prepare(kind, i / 4 % 2);
        fd = pair.server;
        client.options.lifetime_ms = 1000;
        client.options.on_completion = look_at_descriptor;
        client.options.user = &fd;
        client.options.on_timeout = NULL;
        client.options.on_error = NULL;
        client.options.on_release = NULL;
        client.options.loop = client.loop ? loop.loop : NULL;
        was_open = false;
        assert_int_equal(sse_emitter_new(&emitter, &client.options, NULL), 0);
        client.emitter = emitter;
        pair_expect(&pair, ":\n");
        assert_true(descriptor_is_open(fd));
        end_it(i % 4);
        assert_true(was_open);
        assert_false(descriptor_is_open(fd));
        if (pair.client >= 0)
            assert_true(pair_has_ended(&pair));
        sse_emitter_close(emitter);
        client.emitter = NULL;
        if (client.loop)
            (void)fake_loop_settle(&loop);
        assert_false(descriptor_is_open(fd));
        finish();
    }
}

static void a_descriptor_that_is_kept_is_never_closed(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * 2; i++) {
        prepare(PAIR_STREAM, i / 4);
        client.options.keep_fd = true;
        client.options.lifetime_ms = 1000;
        fake_client_open(&client);
        pair_expect(&pair, ":\n");
        end_it(i % 4);
        assert_int_equal(client.completions, 1);
        assert_true(descriptor_is_open(pair.server));
        if (pair.client >= 0) {
            assert_true(pair_is_quiet(&pair));
            assert_int_equal(write(pair.server, "mine", 4), 4);
            pair_expect(&pair, "mine");
        }
        finish();
    }
}

/* Closing with unread bytes resets a TCP connection, and the reset could destroy the last event. */
static void a_client_that_sends_and_does_not_read_gets_the_last_event(void **state)
{
    static const char input[60000];

    (void)state;
    for (int i = 0; i < 2 * 2; i++) {
        const bool completed = i % 2;
        struct pollfd readable;

        prepare(PAIR_TCP, i / 2);
        fake_client_open(&client);
        assert_int_equal(send(pair.client, input, sizeof(input), MSG_NOSIGNAL), sizeof(input));
        readable = (struct pollfd){.fd = pair.server, .events = POLLIN};
        assert_int_equal(poll(&readable, 1, -1), 1);
        assert_int_equal(sse_emitter_send(client.emitter, &(struct sse_event){.data = sse_str("last")}), 0);
        let_owner_work();
        if (completed)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        else
            assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
        let_owner_work();
        assert_false(descriptor_is_open(pair.server));
        pair_expect(&pair, ":\ndata: last\n\n");
        readable = (struct pollfd){.fd = pair.client, .events = POLLIN};
        assert_int_equal(poll(&readable, 1, -1), 1);
        assert_true(pair_has_ended(&pair));
        finish();
    }
}

/* A violation of the rules: the number of a kept descriptor belongs to another file. That file receives no byte.
 * Fault 24. */
static void a_number_of_another_file_gets_no_byte(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct descriptor_pair stranger;

        prepare((enum pair_kind)kind, false);
        pair_open(&stranger, PAIR_PIPE);
        client.options.keep_fd = true;
        fake_client_open(&client);
        assert_int_equal(dup2(stranger.server, pair.server), pair.server);
        (void)sse_emitter_send(client.emitter, &(struct sse_event){.data = sse_str("x")});
        assert_int_equal(sse_emitter_flush(client.emitter), kind == PAIR_PIPE ? -EBADF : -ENOTSOCK);
        assert_int_equal(client.completion.reason, SSE_REASON_OUTPUT_ERROR);
        assert_true(pair_is_quiet(&stranger));
        finish();
        pair_close(&stranger);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_options_of_the_socket_are_set),
        TEST(the_descriptor_is_closed_at_the_end),
        TEST(a_descriptor_that_is_kept_is_never_closed),
        TEST(a_client_that_sends_and_does_not_read_gets_the_last_event),
        TEST(a_number_of_another_file_gets_no_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

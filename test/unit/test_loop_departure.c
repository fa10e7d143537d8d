/* SPDX-License-Identifier: MIT */
/* How a polled loop notices that a client has disconnected or has only stopped sending, and what it does with
 * input. */
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
#include <sys/socket.h>
#include <unistd.h>

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

static bool is_open(struct loop_client *client)
{
    struct sse_emitter_info info;

    assert_int_equal(sse_emitter_get_info(client->emitter, &info, sizeof(info)), 0);
    return info.state == SSE_STATE_OPEN;
}

/* The loop notices it, without a timer and without an event. */
static void is_noticed(struct loop_client *client)
{
    loop_client_dispatch_to_end(client);
    assert_int_equal(client->reason, SSE_REASON_DISCONNECTED);
    assert_true(client->error == -ECONNRESET || client->error == -EPIPE);
    assert_int_equal(sse_registry_count(client->stage->registry, sse_str(NULL)), 0);
    loop_client_close(client);
    loop_stage_dispatch(client->stage);
    assert_int_equal(atomic_load(&client->releases), 1);
}

/* Disconnects */

static void close_is_noticed(void **state)
{
    for (int i = 0; i < 2 * (LOOP_CLIENT_BLOCKING_PIPE + 1); i++) {
        const bool turned = i % 2;
        struct loop_client client;

        loop_client_open(&client, *state, (enum loop_client_kind)(i / 2), NULL);
        if (turned)
            loop_stage_dispatch(*state);
        loop_client_leave(&client);
        is_noticed(&client);
    }
}

static void close_before_new_is_noticed(void **state)
{
    for (int kind = LOOP_CLIENT_TCP; kind <= LOOP_CLIENT_BLOCKING_PIPE; kind++) {
        struct loop_client client;

        loop_client_connect(&client, *state, (enum loop_client_kind)kind);
        loop_client_leave(&client);
        assert_int_equal(loop_client_try_open(&client, NULL), 0);
        is_noticed(&client);
    }
}

/* Descriptor 0, as inetd gives it. Afterwards standard input is empty. */
static void close_is_noticed_on_standard_input(void **state)
{
    const int empty = open("/dev/null", O_RDONLY);
    struct loop_client client;

    assert_true(empty >= 0);
    loop_client_connect(&client, *state, LOOP_CLIENT_UNIX);
    assert_int_equal(dup2(client.server_fd, STDIN_FILENO), STDIN_FILENO);
    close(client.server_fd);
    client.server_fd = STDIN_FILENO;
    assert_int_equal(loop_client_try_open(&client, NULL), 0);
    loop_client_leave(&client);
    is_noticed(&client);
    if (empty > STDIN_FILENO) {
        assert_int_equal(dup2(empty, STDIN_FILENO), STDIN_FILENO);
        close(empty);
    }
}

static void reset_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(*state);
    loop_client_reset(&client);
    is_noticed(&client);
}

static void close_on_unread_events_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(loop_client_send(&client, "unread"), 0);
    loop_stage_dispatch(*state);
    loop_client_leave(&client);
    is_noticed(&client);
}

static void departure_of_a_blocked_client_is_noticed(void **state)
{
    for (int i = 0; i < 2 * (LOOP_CLIENT_BLOCKING_PIPE + 1); i++) {
        const bool draining = i % 2;
        struct loop_client client;

        loop_client_open(&client, *state, (enum loop_client_kind)(i / 2), NULL);
        (void)loop_client_fill(&client);
        if (draining)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        loop_stage_dispatch(*state);
        loop_client_leave(&client);
        is_noticed(&client);
    }
}

/* Half closed */

static void half_closed_client_stays(struct loop_stage *stage, enum loop_client_kind kind)
{
    struct loop_client client;

    loop_client_open(&client, stage, kind, NULL);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    loop_client_expect(&client, ":\n");
    assert_int_equal(loop_client_send(&client, "still here"), 0);
    loop_client_expect(&client, "data: still here\n\n");
    loop_client_drain(&client, loop_client_fill(&client));
    assert_true(is_open(&client));
    /* The loop sends one comment to find out, and no more. */
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(stage);
    assert_true(loop_client_is_quiet(&client));
    loop_client_leave(&client);
    while (!loop_client_send(&client, "to whom?"))
        loop_stage_dispatch(stage);
    is_noticed(&client);
}

static void half_closed_clients_stay(void **state)
{
    half_closed_client_stays(*state, LOOP_CLIENT_TCP);
    half_closed_client_stays(*state, LOOP_CLIENT_UNIX);
}

static void half_closed_before_new_stays(void **state)
{
    struct loop_client client;

    loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    loop_client_make_emitter(&client, NULL);
    loop_client_expect(&client, ":\n");
    assert_true(is_open(&client));
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(client.reason, SSE_REASON_COMPLETED);
    loop_client_close(&client);
}

/* Queued events will find out, so no comment is needed. */
static void half_closed_and_blocked_gets_no_comment(void **state)
{
    struct loop_client client;
    size_t size;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
    size = loop_client_fill(&client);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    loop_client_drain(&client, size);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    assert_true(loop_client_is_quiet(&client));
    assert_true(is_open(&client));
    loop_client_leave(&client);
    is_noticed(&client);
}

static void half_closed_chunked_client_gets_a_whole_chunk(void **state)
{
    const struct sse_emitter_options options = {.framing = SSE_FRAMING_CHUNKED,
                                                .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    loop_client_expect(&client, "2\r\n:\n\r\n");
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_client_expect(&client, "0\r\n\r\n");
    loop_client_dispatch_to_end(&client);
    assert_int_equal(client.reason, SSE_REASON_COMPLETED);
    loop_client_close(&client);
}

/* Input */

static size_t send_until_full(int fd)
{
    static const char bytes[4096];
    size_t total = 0;
    ssize_t sent;

    while ((sent = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0)
        total += (size_t)sent;
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
    return total;
}

/* There is more input than one turn reads. The rest is read later, and the stream continues. */
static void input_is_thrown_away(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    size_t total = 0;

    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, NULL);
    while (total < (size_t)4 << 20) {
        total += send_until_full(client.fd);
        loop_stage_dispatch(stage);
    }
    while (descriptor_is_readable(client.server_fd))
        assert_int_equal(sse_loop_dispatch(stage->loop, -1), 0);
    assert_true(is_open(&client));
    assert_int_equal(loop_client_send(&client, "heard nothing"), 0);
    loop_client_expect(&client, "data: heard nothing\n\n");
    loop_client_leave(&client);
    is_noticed(&client);
}

static void end_behind_much_input_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_true(send_until_full(client.fd) > 0);
    loop_client_leave(&client);
    is_noticed(&client);
}

/* Closing with unread bytes resets the connection: the client would not see an orderly end, and with TCP it would
 * lose the last event. There is more input than one turn reads. */
static void unread_input_does_not_reset_a_graceful_end(void **state)
{
    static const char input[100000];
    struct loop_client client;
    char buffer[64];

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
    loop_stage_dispatch(*state);
    assert_int_equal(loop_client_send(&client, "last"), 0);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    assert_int_equal(send(client.fd, input, sizeof(input), MSG_NOSIGNAL), sizeof(input));
    loop_client_dispatch_to_end(&client);
    assert_int_equal(read(client.fd, buffer, sizeof(buffer)), strlen("data: last\n\n"));
    assert_int_equal(read(client.fd, buffer, sizeof(buffer)), 0);
    assert_int_equal(client.reason, SSE_REASON_COMPLETED);
    loop_client_close(&client);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(close_is_noticed, poller),
        TEST(close_is_noticed_on_standard_input, poller),
        TEST(close_before_new_is_noticed, poller),
        TEST(reset_is_noticed, poller),
        TEST(close_on_unread_events_is_noticed, poller),
        TEST(departure_of_a_blocked_client_is_noticed, poller),
        TEST(half_closed_clients_stay, poller),
        TEST(half_closed_before_new_stays, poller),
        TEST(half_closed_and_blocked_gets_no_comment, poller),
        TEST(half_closed_chunked_client_gets_a_whole_chunk, poller),
        TEST(input_is_thrown_away, poller),
        TEST(end_behind_much_input_is_noticed, poller),
        TEST(unread_input_does_not_reset_a_graceful_end, poller),
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

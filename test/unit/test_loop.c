/* SPDX-License-Identifier: MIT */
/* What a loop does for one connection, from its being handed over to its being closed. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

static bool is_open(struct loop_client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info.state == SSE_STATE_OPEN;
}

/* The loop closes it, with this reason, and gives its reference back. */
static void ends(struct loop_client *client, enum sse_reason reason, int error)
{
    loop_client_dispatch_to_end(client);
    assert_int_equal(atomic_load(&client->completions), 1);
    assert_int_equal(client->reason, reason);
    assert_int_equal(client->error, error);
    assert_int_equal(atomic_load(&client->releases), 0);
    loop_client_close(client);
    assert_int_equal(atomic_load(&client->releases), 1);
}

/* Writing */

static void events_arrive(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(loop_client_send(&client, "one"), 0);
    loop_client_expect(&client, "data: one\n\n");
    assert_int_equal(sse_registry_broadcast(client.stage->registry,
                                            &(struct sse_event){.data = {.ptr = "two", .len = 3}}, NULL),
                     0);
    loop_client_expect(&client, "data: two\n\n");
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void slow_reader_gets_all(struct loop_stage *stage, enum loop_client_kind kind)
{
    struct loop_client client;
    size_t size = 0;

    loop_client_open(&client, stage, kind, NULL);
    size += loop_client_fill(&client);
    for (int i = 0; i < 80; i++)
        size += loop_client_fill(&client);
    assert_true(size > (size_t)5 << 20);
    assert_true(atomic_load(&client.blocked) > 0);
    loop_client_drain(&client, size);
    /* What it does not take at once the second time is written as well. */
    size = loop_client_fill(&client);
    loop_client_drain(&client, size);
    loop_stage_dispatch(stage);
    assert_true(loop_client_is_quiet(&client));
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

static void slow_readers_get_all(void **state)
{
    slow_reader_gets_all(*state, LOOP_CLIENT_TCP);
    slow_reader_gets_all(*state, LOOP_CLIENT_UNIX);
    slow_reader_gets_all(*state, LOOP_CLIENT_PIPE);
    slow_reader_gets_all(*state, LOOP_CLIENT_BLOCKING_PIPE);
}

/* The registry's list told of it when nobody asked, or not at all. */
static void blocked_before_it_was_added(void **state)
{
    struct loop_client client;
    size_t size;

    loop_client_connect(&client, *state, LOOP_CLIENT_UNIX);
    loop_client_make_emitter(&client, NULL);
    size = loop_client_fill(&client);
    assert_int_equal(sse_registry_add(client.stage->registry, client.emitter), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(sse_loop_add(client.stage->loop, sse_emitter_ref(client.emitter)), 0);
    loop_client_drain(&client, size);
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

/* It has room again before the loop has looked at it for the first time. */
static void room_before_it_was_added(void **state)
{
    struct loop_client client;
    char buffer[4096];
    size_t size;
    ssize_t received;

    loop_client_connect(&client, *state, LOOP_CLIENT_UNIX);
    loop_client_make_emitter(&client, NULL);
    size = loop_client_fill(&client);
    while ((received = read(client.fd, buffer, sizeof(buffer))) > 0)
        size -= (size_t)received;
    assert_true(size > 0);
    loop_client_add(&client);
    loop_client_drain(&client, size);
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
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

/* Departures */

static void close_is_noticed(void **state)
{
    for (int kind = LOOP_CLIENT_TCP; kind <= LOOP_CLIENT_BLOCKING_PIPE; kind++) {
        struct loop_client client;

        loop_client_open(&client, *state, (enum loop_client_kind)kind, NULL);
        loop_stage_dispatch(*state);
        loop_client_leave(&client);
        ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
    }
}

static void close_before_the_add_is_noticed(void **state)
{
    for (int kind = LOOP_CLIENT_TCP; kind <= LOOP_CLIENT_BLOCKING_PIPE; kind++) {
        struct loop_client client;

        loop_client_connect(&client, *state, (enum loop_client_kind)kind);
        loop_client_make_emitter(&client, NULL);
        loop_client_leave(&client);
        loop_client_add(&client);
        ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
    }
}

static void reset_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(*state);
    loop_client_reset(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void close_on_unread_events_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(loop_client_send(&client, "unread"), 0);
    loop_stage_dispatch(*state);
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void departure_of_a_blocked_client_is_noticed(void **state)
{
    for (int kind = LOOP_CLIENT_TCP; kind <= LOOP_CLIENT_BLOCKING_PIPE; kind++) {
        struct loop_client client;

        loop_client_open(&client, *state, (enum loop_client_kind)kind, NULL);
        (void)loop_client_fill(&client);
        loop_stage_dispatch(*state);
        loop_client_leave(&client);
        loop_client_dispatch_to_end(&client);
        /* The sink may have noticed before. */
        assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
        loop_client_close(&client);
    }
}

static void departure_while_draining_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
    (void)loop_client_fill(&client);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_stage_dispatch(*state);
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    loop_client_close(&client);
}

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
    /* One comment to find out, and no more. */
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(stage);
    assert_true(loop_client_is_quiet(&client));
    /* The end of input has been dealt with; nothing keeps the loop awake. */
    assert_int_equal(sse_loop_next_timeout(stage->loop), -1);
    loop_client_leave(&client);
    while (!loop_client_send(&client, "to whom?"))
        loop_stage_dispatch(stage);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    loop_client_close(&client);
}

static void half_closed_clients_stay(void **state)
{
    half_closed_client_stays(*state, LOOP_CLIENT_TCP);
    half_closed_client_stays(*state, LOOP_CLIENT_UNIX);
}

static void half_closed_before_the_add_stays(void **state)
{
    struct loop_client client;

    loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
    loop_client_make_emitter(&client, NULL);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    loop_client_add(&client);
    loop_client_expect(&client, ":\n");
    assert_true(is_open(&client));
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

/* What is queued already will find out; a comment more is not needed. */
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
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
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
    ends(&client, SSE_REASON_COMPLETED, 0);
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

/* More than one turn takes: the rest is not forgotten, and the stream goes on. */
static void input_is_thrown_away(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    size_t total = 0;
    bool left_over = false;

    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, NULL);
    while (total < (size_t)4 << 20) {
        total += send_until_full(client.fd);
        loop_stage_dispatch(stage);
        left_over |= sse_loop_next_timeout(stage->loop) == 0;
    }
    assert_true(left_over);
    while (sse_loop_next_timeout(stage->loop) == 0)
        loop_stage_dispatch(stage);
    assert_true(is_open(&client));
    assert_int_equal(loop_client_send(&client, "heard nothing"), 0);
    loop_client_expect(&client, "data: heard nothing\n\n");
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void end_behind_much_input_is_noticed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_true(send_until_full(client.fd) > 0);
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

/* Closing on unread bytes resets the connection: the client would see no orderly end, and on TCP lose
 * the last event. There is more than one turn takes. */
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
    ends(&client, SSE_REASON_COMPLETED, 0);
}

/* Ends, whatever the reason */

static void completed(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    ends(&client, SSE_REASON_COMPLETED, 0);
}

static void completed_with_error(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(sse_emitter_complete_with_error(client.emitter, -EPROTO), 0);
    ends(&client, SSE_REASON_APPLICATION, -EPROTO);
}

static void overflowed(void **state)
{
    const struct sse_emitter_options options = {
        .queue_bytes = 1024, .heartbeat_ms = SSE_TIMER_OFF, .stall_ms = SSE_TIMER_OFF};
    const struct sse_event event = {.data = {.ptr = "0123456789abcdef", .len = 16}};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &options);
    while (!atomic_load(&client.completions))
        assert_int_equal(sse_registry_broadcast(client.stage->registry, &event, NULL), 0);
    ends(&client, SSE_REASON_OVERFLOW, -ENOBUFS);
}

static void timer_ends_it(struct loop_stage *stage, const struct sse_emitter_options *options, bool blocked,
                          enum sse_reason reason)
{
    struct loop_client client;

    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, options);
    if (blocked)
        (void)loop_client_fill(&client);
    loop_stage_dispatch(stage);
    assert_in_range(sse_loop_next_timeout(stage->loop), 1, 1000);
    fake_host_advance_ms(&stage->fake, 1000);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 0);
    loop_stage_dispatch(stage);
    assert_false(descriptor_is_open(client.server_fd));
    assert_int_equal(sse_loop_next_timeout(stage->loop), -1);
    ends(&client, reason, reason == SSE_REASON_LIFETIME ? -ETIMEDOUT : client.error);
}

static void timers_end_it(void **state)
{
    const struct sse_emitter_options lifetime = {.lifetime_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};
    const struct sse_emitter_options stall = {.stall_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};

    timer_ends_it(*state, &lifetime, false, SSE_REASON_LIFETIME);
    timer_ends_it(*state, &stall, true, SSE_REASON_STALL);
}

static void draining_takes_too_long(void **state)
{
    const struct sse_emitter_options options = {
        .drain_ms = 1000, .stall_ms = SSE_TIMER_OFF, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &options);
    (void)loop_client_fill(&client);
    loop_stage_dispatch(*state);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    fake_host_advance_ms(&client.stage->fake, 1000);
    loop_stage_dispatch(*state);
    assert_false(descriptor_is_open(client.server_fd));
    ends(&client, SSE_REASON_DRAIN, -ETIMEDOUT);
}

static void heartbeats_are_sent(void **state)
{
    const struct sse_emitter_options options = {.heartbeat_ms = 1000};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    loop_stage_dispatch(*state);
    assert_true(loop_client_is_quiet(&client));
    for (int i = 0; i < 3; i++) {
        fake_host_advance_ms(&client.stage->fake, 1000);
        loop_client_expect(&client, ":\n");
    }
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void ended_before_it_was_added(void **state)
{
    struct loop_client client;

    loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
    loop_client_make_emitter(&client, NULL);
    assert_int_equal(sse_registry_add(client.stage->registry, client.emitter), 0);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(sse_loop_add(client.stage->loop, sse_emitter_ref(client.emitter)), 0);
    assert_true(descriptor_is_open(client.server_fd));
    loop_stage_dispatch(*state);
    assert_false(descriptor_is_open(client.server_fd));
    ends(&client, SSE_REASON_COMPLETED, 0);
}

static void detached_before_it_was_added(void **state)
{
    struct loop_client client;

    loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
    loop_client_make_emitter(&client, NULL);
    assert_int_equal(sse_registry_add(client.stage->registry, client.emitter), 0);
    assert_int_equal(sse_emitter_detach(client.emitter), 0);
    assert_int_equal(sse_loop_add(client.stage->loop, sse_emitter_ref(client.emitter)), 0);
    loop_stage_dispatch(*state);
    ends(&client, SSE_REASON_DETACHED, -ECANCELED);
}

/* The loop holds the last reference: on_release runs when it gives it back, after the close. */
static void released_after_the_close(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    sse_emitter_unref(client.emitter);
    client.emitter = NULL;
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&client.releases), 0);
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(atomic_load(&client.releases), 1);
}

/* Descriptors that are no sockets */

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
    loop_client_make_emitter(client, NULL);
    loop_client_add(client);
}

static void terminal(void **state)
{
    struct loop_client client;

    open_terminal(&client, *state);
    assert_int_equal(loop_client_send(&client, "tty"), 0);
    loop_client_expect(&client, "data: tty\r\n\r\n");
    /* What is typed is left to whoever reads it. */
    assert_int_equal(write(client.fd, "typed\n", 6), 6);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    assert_true(is_open(&client));
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void only_sockets_are_made_nonblocking(void **state)
{
    struct loop_client socket_client, pipe_client;

    loop_client_open(&socket_client, *state, LOOP_CLIENT_TCP, NULL);
    loop_client_open(&pipe_client, *state, LOOP_CLIENT_BLOCKING_PIPE, NULL);
    assert_true(fcntl(socket_client.server_fd, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(pipe_client.server_fd, F_GETFL) & O_NONBLOCK);
    loop_client_leave(&socket_client);
    ends(&socket_client, SSE_REASON_PEER_GONE, -ECONNRESET);
    loop_client_leave(&pipe_client);
    ends(&pipe_client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

/* The end of the loop */

static void free_detaches_and_closes_all(void **state)
{
    struct loop_client clients[5];
    struct loop_stage *stage = *state;

    for (int i = 0; i < 5; i++)
        loop_client_open(&clients[i], stage, LOOP_CLIENT_TCP, NULL);
    (void)loop_client_fill(&clients[0]);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(stage);
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    loop_client_leave(&clients[2]);
    sse_loop_free(stage->loop);
    stage->loop = NULL;
    for (int i = 0; i < 5; i++) {
        assert_false(descriptor_is_open(clients[i].server_fd));
        ends(&clients[i], i == 1 ? SSE_REASON_COMPLETED : SSE_REASON_DETACHED, i == 1 ? 0 : -ECANCELED);
    }
    assert_int_equal(sse_registry_count(stage->registry, sse_str(NULL)), 0);
}

/* The registry is the loop's too, and goes on without it. */
static void free_gives_the_registry_back(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;

    sse_registry_ref(stage->registry);
    sse_registry_unref(stage->registry);
    sse_loop_free(stage->loop);
    stage->loop = NULL;
    loop_client_connect(&client, stage, LOOP_CLIENT_TCP);
    loop_client_make_emitter(&client, NULL);
    assert_int_equal(sse_registry_add(stage->registry, client.emitter), 0);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    /* Nobody has a wake, so nobody is told. */
    assert_null(sse_registry_next_ready(stage->registry));
    close(client.server_fd);
    loop_client_close(&client);
    loop_stage_open_loop(stage);
    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    loop_client_leave(&client);
    ends(&client, SSE_REASON_PEER_GONE, -ECONNRESET);
}

static void free_of_nothing(void **state)
{
    (void)state;
    sse_loop_free(NULL);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(events_arrive, poller),
        TEST(slow_readers_get_all, poller),
        TEST(blocked_before_it_was_added, poller),
        TEST(room_before_it_was_added, poller),
        TEST(graceful_end_of_a_slow_reader, poller),
        TEST(close_is_noticed, poller),
        TEST(close_before_the_add_is_noticed, poller),
        TEST(reset_is_noticed, poller),
        TEST(close_on_unread_events_is_noticed, poller),
        TEST(departure_of_a_blocked_client_is_noticed, poller),
        TEST(departure_while_draining_is_noticed, poller),
        TEST(half_closed_clients_stay, poller),
        TEST(half_closed_before_the_add_stays, poller),
        TEST(half_closed_and_blocked_gets_no_comment, poller),
        TEST(half_closed_chunked_client_gets_a_whole_chunk, poller),
        TEST(input_is_thrown_away, poller),
        TEST(end_behind_much_input_is_noticed, poller),
        TEST(unread_input_does_not_reset_a_graceful_end, poller),
        TEST(completed, poller),
        TEST(completed_with_error, poller),
        TEST(overflowed, poller),
        TEST(timers_end_it, poller),
        TEST(draining_takes_too_long, poller),
        TEST(heartbeats_are_sent, poller),
        TEST(ended_before_it_was_added, poller),
        TEST(detached_before_it_was_added, poller),
        TEST(released_after_the_close, poller),
        TEST(terminal, poller),
        TEST(only_sockets_are_made_nonblocking, poller),
        TEST(free_detaches_and_closes_all, poller),
        TEST(free_gives_the_registry_back, poller),
        TEST(free_of_nothing, poller),
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

/* SPDX-License-Identifier: MIT */
/* No call writes for ever, and none writes what others have queued, because that is the owner's work. Row M9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 1000

/* One call of the output accepts 16 messages. The limits are a few such calls, and no test needs the exact
 * number. */
#define AT_ONCE_MAX (MANY / 2)

static int peer, server;

static int open_peer(void **state)
{
    int ends[2];

    (void)set_up(state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    server = ends[0];
    peer = ends[1];
    return 0;
}

static int close_peer(void **state)
{
    (void)tear_down(state);
    close(server);
    close(peer);
    return 0;
}

static struct fake_client *prepare_socket(void)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_FD);

    client->options.fd = server;
    client->options.keep_fd = true;
    return client;
}

/* Reads everything that is there. */
static const char *receive(void)
{
    static char text[65536];
    size_t total = 0;
    ssize_t part;

    while ((part = recv(peer, text + total, sizeof(text) - 1 - total, 0)) > 0)
        total += (size_t)part;
    text[total] = '\0';
    return text;
}

/* The loop has not taken its turn. The sender does not write what a publish has queued. */
static void a_send_behind_others_only_queues(void **state)
{
    struct fake_client *client = prepare_socket();

    (void)state;
    assert_int_equal(join(client, "t", absent), 0);
    (void)fake_loop_settle(&loop);
    assert_string_equal(receive(), ":\n");
    assert_int_equal(send_data(client, "at once"), 0);
    assert_string_equal(receive(), "data: at once\n\n");
    (void)publish_event('t', (struct sse_event){.data = sse_str("published")});
    assert_int_equal(send_data(client, "behind"), 0);
    assert_string_equal(receive(), "");
    assert_int_equal(fake_client_info(client).queued_messages, 2);
    (void)fake_loop_settle(&loop);
    assert_string_equal(receive(), EVENT("published", "1") "data: behind\n\n");
}

/* An output that accepts a byte at a time. */
static void a_call_of_the_owner_is_bounded(void **state)
{
    static char text[MANY];
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    const struct sse_event event = {.data = {text, sizeof(text)}};
    size_t calls;

    (void)state;
    memset(text, 'x', sizeof(text));
    client->loop = NULL;
    client->options.registry = NULL;
    client->output.take_max = 1;
    fake_client_open(client);
    for (int large = 0; large < 2; large++) {
        while (sse_emitter_flush(client->emitter) == 1)
            ;
        fake_client_forget(client);
        calls = client->output.calls;
        assert_int_equal(large ? sse_emitter_send(client->emitter, &event) : send_data(client, "x"), 0);
        assert_in_range(client->output.calls - calls, 1, AT_ONCE_MAX);
    }
    calls = client->output.calls;
    assert_int_equal(sse_emitter_flush(client->emitter), 1);
    assert_in_range(client->output.calls - calls, 1, AT_ONCE_MAX);
    while (sse_emitter_flush(client->emitter) == 1)
        ;
    assert_int_equal(client->output.size, sizeof(text) + strlen("data: \n\n"));
}

static size_t interruptions;

static void interrupt(struct fake_output *output, void *user)
{
    (void)user;
    output->error_at = output->calls <= interruptions ? output->size : SIZE_MAX;
}

/* An output that reports EINTR. After 16 reports one after the other it counts as full. */
static void interruptions_are_bounded(void **state)
{
    (void)state;
    for (interruptions = 15; interruptions <= 16; interruptions++) {
        struct fake_client *client = prepare(interruptions - 15, SSE_OUTPUT_CALLBACK);
        size_t queued = interruptions == 16;

        client->loop = NULL;
        client->options.registry = NULL;
        fake_client_open(client);
        assert_int_equal(sse_emitter_flush(client->emitter), 0);
        client->output.room = 0;
        assert_int_equal(send_data(client, "x"), 0);
        client->output.room = SIZE_MAX;
        client->output.calls = 0;
        client->output.error = -EINTR;
        client->output.on_write = interrupt;
        assert_int_equal(sse_emitter_flush(client->emitter), queued);
        assert_int_equal(client->output.calls, 16);
        assert_int_equal(fake_client_info(client).queued_messages, queued);
        assert_int_equal(sse_emitter_flush(client->emitter), 0);
        assert_string_equal(fake_client_events(client), "data: x\n\n");
    }
}

/* The socket has room for the whole replay. */
static void the_beginning_of_a_stream_is_bounded(void **state)
{
    struct fake_client *client = prepare_socket();

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        (void)publish_event('t', (struct sse_event){.data = sse_str("x")});
    assert_int_equal(join(client, "t", sse_str(ID("0"))), 0);
    assert_int_equal(client->replay.messages, MANY);
    assert_in_range(fake_client_info(client).events, 1, AT_ONCE_MAX);
    (void)fake_loop_settle(&loop);
    assert_int_equal(fake_client_info(client).events, MANY);
}

/* A publisher that is ahead of the loop writes a part of the queue, and not everything. */
static void a_publisher_that_is_ahead_writes_a_bounded_part(void **state)
{
    struct fake_client *client = prepare_socket();

    (void)state;
    client->options.queue_messages = 2 * (MANY - 1);
    assert_int_equal(join(client, "t", absent), 0);
    (void)fake_loop_settle(&loop);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(fake_client_info(client).events, 0);
        (void)publish_event('t', (struct sse_event){.data = sse_str("x")});
    }
    assert_in_range(fake_client_info(client).events, 1, AT_ONCE_MAX);
    (void)fake_loop_settle(&loop);
    assert_int_equal(fake_client_info(client).events, MANY);
}

#define PEER_TEST(function) cmocka_unit_test_setup_teardown(function, open_peer, close_peer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(a_send_behind_others_only_queues),
        PEER_TEST(a_call_of_the_owner_is_bounded),
        PEER_TEST(interruptions_are_bounded),
        PEER_TEST(the_beginning_of_a_stream_is_bounded),
        PEER_TEST(a_publisher_that_is_ahead_writes_a_bounded_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

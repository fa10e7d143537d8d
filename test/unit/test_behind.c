/* SPDX-License-Identifier: MIT */
/* A publisher that is faster than the loop writes to sockets itself, so that no queue overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection/turn.h"
#include "connection/write.h"
#include "registry_stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT 64
#define EVENTS 100000
#define PEERS 3

/* The client's end of a socket, and the number of the event that it expects next. */
struct peer {
    int fd;
    int server;
    char text[65536];
    size_t size;
    unsigned next;
};

static struct peer peers[PEERS];

static int open_peers(void **state)
{
    (void)set_up(state);
    use_registry((struct sse_registry_options){.size = 0});
    for (size_t i = 0; i < PEERS; i++) {
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
        peers[i] = (struct peer){.fd = ends[1], .server = ends[0]};
    }
    return 0;
}

static int close_peers(void **state)
{
    (void)tear_down(state);
    for (size_t i = 0; i < PEERS; i++) {
        close(peers[i].fd);
        close(peers[i].server);
    }
    return 0;
}

static struct fake_client *enter_socket(size_t which, enum sse_overflow overflow)
{
    struct fake_client *client = prepare(which, SSE_OUTPUT_FD);
    char beginning[2];

    client->options.fd = peers[which].server;
    client->options.keep_fd = true;
    client->options.queue_messages = LIMIT;
    client->options.overflow = overflow;
    assert_int_equal(join(client, "t", absent), 0);
    assert_int_equal(recv(peers[which].fd, beginning, 2, 0), 2);
    assert_memory_equal(beginning, ":\n", 2);
    return client;
}

static void take_event(struct peer *peer, const char *event)
{
    unsigned number;

    assert_int_equal(sscanf(event, "data: %u\n", &number), 1);
    assert_int_equal(number, peer->next);
    peer->next++;
}

/* Reads what is there, and checks that it is in order. */
static void read_peer(struct peer *peer)
{
    ssize_t part;

    while ((part = recv(peer->fd, peer->text + peer->size, sizeof(peer->text) - 1 - peer->size, 0)) > 0) {
        char *at = peer->text, *end;

        peer->size += (size_t)part;
        peer->text[peer->size] = '\0';
        while ((end = strstr(at, "\n\n"))) {
            take_event(peer, at);
            at = end + 2;
        }
        peer->size -= (size_t)(at - peer->text);
        memmove(peer->text, at, peer->size);
    }
}

static struct sse_delivery publish_number(unsigned number)
{
    char data[16];

    (void)snprintf(data, sizeof(data), "%u", number);
    return publish_event('t', (struct sse_event){.data = sse_str(data)});
}

/* The loop takes no turn at all, and only some peers read. */
static void a_healthy_socket_never_overflows(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        enter_socket(i, SSE_OVERFLOW_END);
    fake_client_free(&clients[2]);
    for (unsigned i = 0; i < EVENTS; i++) {
        expect_delivery(publish_number(i), 2, 0, 0);
        for (size_t k = 0; i % 500 == 0 && k < 2; k++)
            read_peer(&peers[k]);
        assert_in_range(fake_client_info(&clients[0]).queued_messages, 0, LIMIT);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fake_client_info(&clients[i]).dropped, 0);
        assert_int_equal(clients[i].completions + clients[i].blocked, 0);
    }
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < 2; i++) {
        read_peer(&peers[i]);
        assert_int_equal(peers[i].next, EVENTS);
        assert_int_equal(fake_client_info(&clients[i]).events, EVENTS);
    }
}

/* Up to half of the limit, only the loop writes, in one call. Then the publisher writes, and the loop writes only
 * what is left. */
static void a_publisher_that_is_not_ahead_only_queues(void **state)
{
    char byte;

    (void)state;
    enter_socket(0, SSE_OVERFLOW_END);
    for (unsigned i = 0; i < LIMIT / 2; i++)
        expect_delivery(publish_number(i), 1, 0, 0);
    assert_int_equal(recv(peers[0].fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    expect_delivery(publish_number(LIMIT / 2), 1, 0, 0);
    read_peer(&peers[0]);
    assert_in_range(peers[0].next, LIMIT / 4, LIMIT / 2 + 1);
    (void)fake_loop_settle(&loop);
    read_peer(&peers[0]);
    assert_int_equal(peers[0].next, LIMIT / 2 + 1);
}

/* The publisher writes to a pipe in the same way. */
static void a_pipe_is_written_to_by_the_publisher(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_FD);
    char text[64] = "";
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    client->options.fd = ends[1];
    client->options.queue_messages = LIMIT;
    assert_int_equal(join(client, "t", absent), 0);
    assert_int_equal(read(ends[0], text, 2), 2);
    for (unsigned i = 0; i < LIMIT / 2; i++)
        expect_delivery(publish_number(i), 1, 0, 0);
    assert_int_equal(read(ends[0], text, sizeof(text)), -1);
    expect_delivery(publish_number(LIMIT / 2), 1, 0, 0);
    assert_true(read(ends[0], text, sizeof(text)) > 18);
    assert_memory_equal(text, "data: 0\n\ndata: 1\n\n", 18);
    close(ends[0]);
}

/* The peer does not read, so the socket is known to be full. Then the limit counts. */
static void a_full_socket_overflows(void **state)
{
    struct sse_delivery delivery = {.ended = 0};
    unsigned published = 0;

    (void)state;
    enter_socket(0, SSE_OVERFLOW_END);
    enter_socket(1, SSE_OVERFLOW_DROP_NEWEST);
    enter_socket(2, SSE_OVERFLOW_END);
    while (!delivery.ended && published < EVENTS) {
        delivery = publish_number(published++);
        read_peer(&peers[2]);
    }
    assert_int_equal(delivery.ended, 1);
    assert_int_equal(delivery.receivers + delivery.dropped, 2);
    assert_int_equal(count("t"), 2);
    assert_int_equal(clients[0].completions, 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[0], SSE_REASON_OVERFLOW, -ENOBUFS);
    expect_open(&clients[1]);
    assert_int_equal(clients[1].blocked, 1);
    assert_in_range(fake_client_info(&clients[1]).queued_messages, LIMIT - 1, LIMIT);
    read_peer(&peers[1]);
    assert_int_equal(sse_emitter_flush(clients[1].emitter), 1);
    (void)fake_loop_settle(&loop);
    read_peer(&peers[1]);
    assert_int_equal(peers[1].next + fake_client_info(&clients[1]).dropped, published);
    read_peer(&peers[2]);
    assert_int_equal(peers[2].next, published);
}

/* The client has disconnected. The publisher notices it, but the loop runs the callbacks. */
static void a_publisher_notices_a_disconnect(void **state)
{
    (void)state;
    enter_socket(0, SSE_OVERFLOW_END);
    enter_socket(1, SSE_OVERFLOW_END);
    shutdown(peers[0].server, SHUT_RDWR);
    for (unsigned i = 0; i <= LIMIT / 2; i++)
        expect_delivery(publish_number(i), 2, 0, 0);
    assert_int_equal(count("t"), 1);
    assert_int_equal(clients[0].completions + clients[0].errors, 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[0], SSE_REASON_DISCONNECTED, -EPIPE);
    read_peer(&peers[1]);
    assert_int_equal(peers[1].next, LIMIT / 2 + 1);
}

/* Another thread ends it once a publisher has chosen it: nothing is written, and the publisher does not stay.
 */
static void one_that_ends_before_the_publisher_writes(void **state)
{
    struct sse_emitter *emitter;
    char byte;

    (void)state;
    emitter = enter_socket(0, SSE_OVERFLOW_END)->emitter;
    expect_delivery(publish_number(0), 1, 0, 0);
    pthread_mutex_lock(&emitter->lock);
    sse_emitter_become_busy(emitter);
    pthread_mutex_unlock(&emitter->lock);
    assert_int_equal(sse_emitter_abort(emitter, -EPROTO), 0);
    sse_emitter_catch_up(emitter, atomic_load(&platform.now));
    assert_false(emitter->busy);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[0], SSE_REASON_ABORTED, -EPROTO);
    assert_int_equal(recv(peers[0].fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

#define PEER_TEST(function) cmocka_unit_test_setup_teardown(function, open_peers, close_peers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(a_healthy_socket_never_overflows),
        PEER_TEST(a_publisher_that_is_not_ahead_only_queues),
        PEER_TEST(a_pipe_is_written_to_by_the_publisher),
        PEER_TEST(a_full_socket_overflows),
        PEER_TEST(a_publisher_notices_a_disconnect),
        PEER_TEST(one_that_ends_before_the_publisher_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

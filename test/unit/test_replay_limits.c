/* SPDX-License-Identifier: MIT */
/* A replay is not held to the limits of the queue, and does not count against later events. So a client with a long
 * replay makes progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define POLICIES 4
#define EVENTS 300
#define LIMIT 10

static char kilobyte[1024];

static int publish_much(void **state)
{
    (void)set_up(state);
    memset(kilobyte, 'x', sizeof(kilobyte));
    for (size_t i = 0; i < EVENTS; i++)
        (void)publish_event('t', (struct sse_event){.data = {kilobyte, sizeof(kilobyte)}});
    return 0;
}

static void limit(struct fake_client *client, int overflow, bool by_bytes)
{
    client->options.overflow = (enum sse_overflow)overflow;
    client->options.queue_messages = by_bytes ? 0 : LIMIT;
    client->options.queue_bytes = by_bytes ? LIMIT * (sizeof(kilobyte) + strlen(EVENT("", "0"))) : 0;
}

static void expect_replay(struct fake_client *client)
{
    assert_int_equal(client->replay.outcome, SSE_REPLAY_COMPLETE);
    assert_int_equal(client->replay.messages, EVENTS);
}

/* As many events as the queue may contain, of the largest size. */
static void publish_live(void)
{
    for (size_t i = 0; i < LIMIT; i++) {
        expect_delivery(publish_event('t', (struct sse_event){.data = {kilobyte, sizeof(kilobyte)}}), 1, 0,
                        0);
        (void)fake_loop_settle(&loop);
    }
}

static void expect_all(struct fake_client *client, const char *text)
{
    size_t events = 0;

    for (const char *at = text; (at = strstr(at, "\n\n")); at += 2) {
        char id[48];

        events++;
        (void)snprintf(id, sizeof(id), "\nid: E-%016zx", events);
        assert_memory_equal(at - strlen(id), id, strlen(id));
    }
    assert_int_equal(events, EVENTS + LIMIT);
    assert_int_equal(fake_client_info(client).dropped, 0);
    expect_open(client);
}

/* A replay behind bytes that the client does not read is no progress. */
static void a_replay_does_not_put_off_a_stall(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    struct sse_replay replay;

    (void)state;
    client->options.stall_ms = 30000;
    client->output.room = strlen(":\n");
    assert_int_equal(join(client, "u", absent), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(send_data(client, "x"), 0);
    (void)fake_loop_settle(&loop);
    advance_ms(20000);
    (void)fake_loop_settle(&loop);
    assert_int_equal(subscribe(client, "t", sse_str(ID("0")), &replay), 0);
    assert_int_equal(replay.messages, EVENTS);
    advance_ms(9999);
    (void)fake_loop_settle(&loop);
    expect_open(client);
    advance_ms(1);
    (void)fake_loop_settle(&loop);
    expect_end(client, SSE_REASON_STALLED, -ETIMEDOUT);
}

/* Row M3. */
static void a_replay_to_a_full_output(void **state)
{
    for (int overflow = 0; overflow < POLICIES; overflow++) {
        for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
            struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

            limit(client, overflow, by_bytes);
            client->output.room = 0;
            assert_int_equal(join(client, "t", sse_str(ID("0"))), 0);
            expect_replay(client);
            (void)fake_loop_settle(&loop);
            publish_live();
            fake_client_make_room(client, SIZE_MAX);
            (void)fake_loop_settle(&loop);
            expect_all(client, fake_client_events(client));
            (void)tear_down(state);
            (void)publish_much(state);
        }
    }
}

static void a_replay_that_is_pulled(void **state)
{
    for (int overflow = 0; overflow < POLICIES; overflow++) {
        for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
            for (int alone = 0; alone < 2; alone++) {
                struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);

                client->loop = alone ? NULL : &loop;
                limit(client, overflow, by_bytes);
                assert_int_equal(join(client, "t", sse_str(ID("0"))), 0);
                expect_replay(client);
                (void)fake_loop_settle(&loop);
                publish_live();
                assert_int_equal(fake_client_pull(client), 0);
                expect_all(client, fake_client_events(client));
                (void)tear_down(state);
                (void)publish_much(state);
            }
        }
    }
}

/* A reader that consumes a little at a time. Until it has consumed the replay, as many live events may be queued as
 * the queue may contain; afterwards more. */
static void a_slow_reader_makes_progress(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);
    char buffer[4000];
    size_t total = 0, published = 0;
    ssize_t size;

    (void)state;
    limit(client, SSE_OVERFLOW_END, false);
    assert_int_equal(join(client, "t", sse_str(ID("0"))), 0);
    while ((size = sse_emitter_read(client->emitter, buffer, sizeof(buffer))) > 0) {
        total += (size_t)size;
        if (published < LIMIT ||
            (published < 200 && total > EVENTS * (sizeof(kilobyte) + strlen(EVENT("", "0"))))) {
            (void)publish('t', "live");
            published++;
        }
    }
    assert_int_equal(size, 0);
    assert_int_equal(published, 200);
    assert_int_equal(fake_client_info(client).events, EVENTS + published);
}

static void read_all(int fd, char *text, size_t size)
{
    size_t total = strlen(text);
    ssize_t part;

    while ((part = recv(fd, text + total, size - 1 - total, 0)) > 0)
        total += (size_t)part;
    text[total] = '\0';
}

/* The socket accepts only a part of the replay. */
static void a_replay_to_a_full_socket(void **state)
{
    enum { SIZE = 2 * EVENTS * 1100 };
    char *text = malloc(SIZE);

    assert_non_null(text);
    for (int overflow = 0; overflow < POLICIES; overflow++) {
        for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
            struct fake_client *client = prepare(0, SSE_OUTPUT_FD);
            int ends[2];

            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
            assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
            assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
            limit(client, overflow, by_bytes);
            client->options.fd = ends[0];
            client->options.keep_fd = true;
            assert_int_equal(join(client, "t", sse_str(ID("0"))), 0);
            expect_replay(client);
            publish_live();
            *text = '\0';
            while (fake_client_info(client).queued_bytes) {
                read_all(ends[1], text, SIZE);
                (void)sse_emitter_flush(client->emitter);
                (void)fake_loop_settle(&loop);
            }
            read_all(ends[1], text, SIZE);
            expect_all(client, text + 2);
            (void)tear_down(state);
            close(ends[0]);
            close(ends[1]);
            (void)publish_much(state);
        }
    }
    free(text);
}

#define MUCH_TEST(function) cmocka_unit_test_setup_teardown(function, publish_much, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MUCH_TEST(a_replay_to_a_full_output),
        MUCH_TEST(a_replay_that_is_pulled),
        MUCH_TEST(a_slow_reader_makes_progress),
        MUCH_TEST(a_replay_does_not_put_off_a_stall),
        MUCH_TEST(a_replay_to_a_full_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

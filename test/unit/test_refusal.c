/* SPDX-License-Identifier: MIT */
/* A refused client has received nothing, nobody was evicted for it, and the server can still answer it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_MAX 200

static const struct sse_http_options http = {.size = sizeof(http), .chunked = true};
static int server, peer;
static unsigned callbacks;

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error, (void)user;
    callbacks++;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion, (void)user;
    callbacks++;
}

static void on_release(void *user)
{
    (void)user;
    callbacks++;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter, (void)what, (void)user;
    callbacks++;
}

static void connect_peer(void)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    server = ends[0];
    peer = ends[1];
    assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
    callbacks = 0;
}

static void disconnect_peer(void)
{
    (void)fake_loop_settle(&loop);
    close(server);
    close(peer);
}

static struct sse_emitter_options options_of(const struct sse_text *topics, size_t number)
{
    return (struct sse_emitter_options){
        .size = sizeof(struct sse_emitter_options),
        .platform = &platform.platform,
        .registry = registry,
        .loop = loop.loop,
        .topics = topics,
        .topic_count = number,
        .last_event_id = sse_str(ID("0")),
        .output = SSE_OUTPUT_FD,
        .fd = server,
        .http = &http,
        .retry_ms = 1000,
        .on_ready = on_ready,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
    };
}

static void expect_nothing_received(void)
{
    char byte;

    assert_int_equal(recv(peer, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(callbacks, 0);
}

/* The server answers on the same descriptor, and the client receives only the answer. */
static void answer(int error)
{
    char response[512], received[512];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, NULL, 7);

    assert_in_range(size, 1, sizeof(response));
    assert_int_equal(write(server, response, (size_t)size), size);
    assert_int_equal(recv(peer, received, sizeof(received), 0), size);
    assert_memory_equal(received, response, (size_t)size);
}

static void expect_refusal(const struct sse_emitter_options *options, int expected)
{
    struct sse_emitter *emitter = NULL;
    struct sse_replay replay = {.messages = 77};
    struct sse_registry_stats before = stats();
    size_t bound = sse_loop_count(loop.loop);

    assert_int_equal(sse_emitter_new(&emitter, options, &replay), expected);
    assert_null(emitter);
    assert_int_equal(replay.messages, 77);
    assert_int_equal(stats().emitters, before.emitters);
    assert_int_equal(stats().remaining, before.remaining);
    assert_int_equal(stats().topics, before.topics);
    assert_int_equal(stats().added, before.added);
    assert_int_equal(stats().refused, before.refused + (expected == -EAGAIN));
    assert_int_equal(sse_loop_count(loop.loop), bound);
    (void)fake_loop_settle(&loop);
    expect_nothing_received();
}

static void use_capped_registry(enum sse_admission admission)
{
    use_registry((struct sse_registry_options){.history = {.events = 100},
                                               .id_prefix = sse_str("E"),
                                               .emitters_max = 2,
                                               .topic_emitters_max = 1,
                                               .admission = admission});
    (void)publish('t', "1");
    enter(0, "t");
    enter(1, "u");
}

static void each_refusal_can_be_answered(void **state)
{
    const struct sse_shutdown_options shutdown = {.size = sizeof(shutdown), .drain_ms = 1000};
    const struct sse_text good[] = {sse_str("v"), sse_str("w")};
    const struct sse_text full[] = {sse_str("v"), sse_str("t")};
    const struct sse_text empty[] = {sse_str("v"), sse_str("")};
    char long_name[SSE_TOPIC_SIZE_MAX + 1];
    const struct sse_text too_long = {long_name, sizeof(long_name)};
    struct sse_emitter_options options;

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    use_capped_registry(SSE_ADMISSION_REFUSE);
    connect_peer();
    options = options_of(good, 2);
    expect_refusal(&options, -EAGAIN);
    answer(-EAGAIN);
    options = options_of(empty, 2);
    expect_refusal(&options, -EBADMSG);
    answer(-EBADMSG);
    options = options_of(&too_long, 1);
    expect_refusal(&options, -EBADMSG);
    fake_client_free(&clients[1]);
    options = options_of(full, 2);
    expect_refusal(&options, -EAGAIN);
    options = options_of(good, 2);
    options.retry_ms = -1;
    expect_refusal(&options, -ERANGE);
    answer(-ERANGE);
    clients[0].output.room = 0;
    assert_int_equal(sse_registry_shutdown(registry, &shutdown), 0);
    options = options_of(good, 2);
    expect_refusal(&options, -ECONNREFUSED);
    answer(-ECONNREFUSED);
    assert_int_equal(sse_loop_finish(loop.loop), 0);
    options.registry = NULL;
    options.topic_count = 0;
    expect_refusal(&options, -ECONNREFUSED);
    answer(-ECONNREFUSED);
    disconnect_peer();
}

/* A refusal leaves no watch behind, so the same descriptor is accepted later. */
static void a_refusal_leaves_no_watch_in_a_polled_loop(void **state)
{
    const struct sse_text topic = sse_str("t");
    const struct sse_loop_options loop_options = {.size = sizeof(loop_options),
                                                  .platform = &platform.platform};
    struct sse_emitter_options options;
    struct sse_emitter *emitter = NULL;
    struct sse_loop *polled;
    int error = -ENOMEM;
    char received[1024];

    (void)state;
    use_capped_registry(SSE_ADMISSION_REFUSE);
    assert_int_equal(sse_loop_new(&polled, &loop_options), 0);
    connect_peer();
    options = options_of(&topic, 1);
    options.loop = polled;
    options.on_ready = NULL;
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), -EAGAIN);
    fake_client_free(&clients[0]);
    for (size_t nth = 1; error && nth < SWEEP_MAX; nth++) {
        assert_int_equal(sse_loop_count(polled), 0);
        assert_int_equal(sse_loop_dispatch(polled, 0), 0);
        expect_nothing_received();
        fake_platform_fail_at(&platform, nth, false);
        error = sse_emitter_new(&emitter, &options, NULL);
        fake_platform_fail_at(&platform, 0, false);
    }
    assert_int_equal(error, 0);
    assert_true(recv(peer, received, sizeof(received), 0) > 0);
    assert_memory_equal(received, "HTTP/1.1 200 ", 13);
    sse_emitter_close(emitter);
    sse_loop_free(polled);
    assert_int_equal(callbacks, 2);
    assert_int_equal(fcntl(server, F_GETFD), -1);
    close(peer);
}

/* A client that has disconnected before is not refused. Its emitter ends like any other. */
static void a_disconnected_client_is_not_refused(void **state)
{
    const struct sse_text topic = sse_str("v");
    struct sse_emitter *emitter = NULL;
    struct sse_emitter_options options;

    (void)state;
    connect_peer();
    close(peer);
    options = options_of(&topic, 1);
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
    assert_int_equal(callbacks, 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(callbacks, 2);
    assert_int_equal(count(NULL), 0);
    sse_emitter_close(emitter);
    (void)fake_loop_settle(&loop);
    assert_int_equal(callbacks, 3);
    assert_int_equal(sse_registry_wait(registry, 0), 0);
    if (fcntl(server, F_GETFD) != -1)
        close(server);
}

/* The server gives the socket away and keeps no pointer to the emitter. */
static void the_loop_alone_keeps_the_emitter(void **state)
{
    const struct sse_text topic = sse_str("v");
    struct sse_emitter_options options;
    char received[2048] = "";

    (void)state;
    connect_peer();
    options = options_of(&topic, 1);
    options.loop = NULL;
    options.registry = NULL;
    options.topic_count = 0;
    options.on_ready = NULL;
    assert_int_equal(sse_emitter_new(NULL, &options, NULL), -EINVAL);
    options = options_of(&topic, 1);
    options.keep_fd = true;
    assert_int_equal(sse_emitter_new(NULL, &options, NULL), -EINVAL);
    options.keep_fd = false;
    options.loop = loop.loop;
    assert_int_equal(sse_emitter_new(NULL, &options, NULL), 0);
    (void)publish('v', "hello");
    assert_int_equal(sse_registry_complete(registry, absent), 0);
    (void)fake_loop_settle(&loop);
    assert_true(recv(peer, received, sizeof(received) - 1, 0) > 0);
    assert_non_null(strstr(received, "data: hello\n"));
    assert_non_null(strstr(received, "\r\n0\r\n\r\n"));
    assert_int_equal(callbacks, 2);
    assert_int_equal(sse_registry_wait(registry, 0), 0);
    assert_int_equal(fcntl(server, F_GETFD), -1);
    close(peer);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(each_refusal_can_be_answered),
        STAGE_TEST(a_refusal_leaves_no_watch_in_a_polled_loop),
        STAGE_TEST(a_disconnected_client_is_not_refused),
        STAGE_TEST(the_loop_alone_keeps_the_emitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

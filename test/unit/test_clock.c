/* SPDX-License-Identifier: MIT */
/* Time enters once per public call: all that it decides, it decides for one moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <string.h>

#define CLIENTS 4

static struct fake_host host;
static struct sse_host counting;
static unsigned readings;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];
static const struct sse_event event = {.data = {.ptr = "x", .len = 1}};
static const struct sse_str topics[] = {{.ptr = "a", .len = 1}, {.ptr = "b", .len = 1}};

/* Each reading is later than the one before, so that two of them would differ. */
static uint64_t read_clock(void *user)
{
    (void)user;
    readings++;
    return atomic_fetch_add(&host.now, 1000000) + 1000000;
}

static struct fake_client *connect_client(size_t which, enum sse_drain drain, size_t room)
{
    if (clients[which].emitter)
        fake_client_free(&clients[which]);
    fake_client_init(&clients[which], &host, drain);
    clients[which].options.host = &counting;
    clients[which].options.drain_ms = 1000;
    clients[which].sink.room = room;
    fake_client_open(&clients[which]);
    return &clients[which];
}

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .host = &counting,
                                                 .history = {.events = 9},
                                                 .history_age_ms = 100000,
                                                 .epoch = sse_str("E"),
                                                 .backlog_bytes = 40,
                                                 .topic_emitters_max = 2,
                                                 .admission = SSE_ADMISSION_NEWEST};

    (void)state;
    fake_host_init(&host);
    counting = host.host;
    counting.now = read_clock;
    memset(clients, 0, sizeof(clients));
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static struct sse_emitter *first(void)
{
    return clients[0].emitter;
}

#define EXPECT_READINGS(most, call)                                                                          \
    do {                                                                                                     \
        readings = 0;                                                                                        \
        (void)(call);                                                                                        \
        assert_in_range(readings, 0, most);                                                                  \
    } while (0)

static void of_an_emitter(void **state)
{
    static const char text[2000] = "x";
    const struct sse_event large = {.data = {text, sizeof(text)}};
    const struct sse_event malformed = {.type = sse_str("t")};
    struct sse_emitter_info info = {.size = sizeof(info)};
    struct sse_message *message;
    struct iovec iov[2];
    char buffer[64];

    (void)state;
    assert_int_equal(sse_message_new(&message, &event, 1, &counting), 0);
    for (int drain = SSE_DRAIN_CALLBACK; drain <= SSE_DRAIN_PULL; drain++) {
        EXPECT_READINGS(1, connect_client(0, (enum sse_drain)drain, 30));
        EXPECT_READINGS(1, sse_emitter_send(first(), &event));
        EXPECT_READINGS(1, sse_emitter_send(first(), &event));
        EXPECT_READINGS(1, sse_emitter_send(first(), &large));
        EXPECT_READINGS(0, sse_emitter_send(first(), &malformed));
        EXPECT_READINGS(1, sse_emitter_send_message(first(), message));
        EXPECT_READINGS(1, sse_emitter_flush(first()));
        EXPECT_READINGS(0, sse_emitter_peek(first(), iov, 2));
        EXPECT_READINGS(1, sse_emitter_advance(first(), 2));
        EXPECT_READINGS(1, sse_emitter_read(first(), buffer, sizeof(buffer)));
        EXPECT_READINGS(1, sse_emitter_info(first(), &info));
        EXPECT_READINGS(1, sse_emitter_next_timeout(first()));
        EXPECT_READINGS(1, sse_emitter_tick(first()));
        EXPECT_READINGS(0, sse_emitter_interrupt(first()));
        EXPECT_READINGS(1, sse_emitter_complete(first()));
        EXPECT_READINGS(1, sse_emitter_complete_with_error(first(), -EIO));
        EXPECT_READINGS(1, sse_emitter_detach(first()));
        connect_client(0, (enum sse_drain)drain, 0);
        EXPECT_READINGS(1, sse_emitter_send(first(), &event));
        EXPECT_READINGS(1, sse_emitter_unref(first()));
        assert_int_equal(clients[0].releases, 1);
        clients[0].emitter = NULL;
        fake_sink_free(&clients[0].sink);
    }
    sse_message_unref(message);
}

/* A publish that wrote reads it again behind the last write, for the statistics alone. */
static void of_a_registry(void **state)
{
    const struct sse_event farewell = {.data = sse_str("bye")};
    struct sse_shutdown_options options = {
        .size = sizeof(options), .farewell = &farewell, .retry_min_ms = 1, .retry_max_ms = 9, .drain_ms = 50};
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    (void)state;
    connect_client(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
    connect_client(1, SSE_DRAIN_CALLBACK, 0);
    EXPECT_READINGS(1, sse_registry_add(registry, first()));
    EXPECT_READINGS(1, sse_registry_subscribe(registry, first(), topics, 2, sse_str("unknown"), NULL));
    EXPECT_READINGS(1, sse_registry_subscribe(registry, clients[1].emitter, topics, 2, sse_str(""), NULL));
    EXPECT_READINGS(2, sse_registry_publish(registry, topics[0], &event, NULL));
    EXPECT_READINGS(2, sse_registry_broadcast(registry, &event, NULL));
    assert_int_equal(clients[1].completions, 1);
    EXPECT_READINGS(1, sse_registry_publish(registry, sse_str("nobody"), &event, NULL));
    EXPECT_READINGS(1, sse_registry_next_timeout(registry));
    EXPECT_READINGS(1, sse_registry_tick(registry));
    EXPECT_READINGS(0, sse_registry_stats(registry, &stats));
    connect_client(1, SSE_DRAIN_CALLBACK, SIZE_MAX);
    connect_client(2, SSE_DRAIN_CALLBACK, SIZE_MAX);
    EXPECT_READINGS(1, sse_registry_subscribe(registry, clients[1].emitter, topics, 2,
                                              sse_str("E-0000000000000000"), NULL));
    EXPECT_READINGS(1, sse_registry_subscribe(registry, clients[2].emitter, topics, 2, sse_str(""), NULL));
    assert_int_equal(clients[0].completions, 1);
    EXPECT_READINGS(0, sse_registry_unsubscribe(registry, clients[1].emitter, topics, 1));
    EXPECT_READINGS(0, sse_registry_remove(registry, clients[1].emitter));
    EXPECT_READINGS(0, sse_registry_hold(registry));
    EXPECT_READINGS(1, sse_registry_publish(registry, topics[0], &event, NULL));
    EXPECT_READINGS(1, sse_registry_release(registry));
    EXPECT_READINGS(1, sse_registry_shutdown(registry, &options));
    assert_int_equal(clients[2].completions, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_an_emitter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_a_registry, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

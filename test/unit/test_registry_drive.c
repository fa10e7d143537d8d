/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_host.h"
#include "fake_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CLIENT_COUNT 40
#define ABSENT ((struct sse_str){.ptr = NULL})

struct client {
    struct fake_sink sink;
    struct sse_emitter *emitter;
    int completions;
    enum sse_reason reason;
};

static struct fake_host fake;
static struct sse_registry *registry;
static struct client clients[CLIENT_COUNT];
static int wakes;
static void (*write_deed)(void);
static void (*timeout_deed)(void);

/* Each deed is done once. */
static void run(void (**deed)(void))
{
    void (*act)(void) = *deed;

    *deed = NULL;
    if (act)
        act();
}

static ssize_t take(void *user, const struct iovec *iov, int count)
{
    return fake_sink_write(&((struct client *)user)->sink, iov, count);
}

static void on_write(struct fake_sink *sink, void *user)
{
    (void)sink;
    (void)user;
    run(&write_deed);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    (void)reason;
    (void)user;
    run(&timeout_deed);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    client->completions++;
    client->reason = completion->reason;
}

static void on_wake(struct sse_registry *woken, void *user)
{
    assert_non_null(woken);
    assert_ptr_equal(user, &wakes);
    wakes++;
}

static struct sse_emitter_options options_for(struct client *client, enum sse_drain drain)
{
    fake_sink_init(&client->sink);
    client->sink.on_write = on_write;
    return (struct sse_emitter_options){
        .size = sizeof(struct sse_emitter_options),
        .host = &fake.host,
        .drain = drain,
        .write = take,
        .heartbeat_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .on_timeout = on_timeout,
        .on_completion = on_completion,
        .user = client,
    };
}

static struct client *start_with(size_t index, const struct sse_emitter_options *options)
{
    assert_int_equal(sse_emitter_new(&clients[index].emitter, options), 0);
    return &clients[index];
}

static struct client *start(size_t index, enum sse_drain drain)
{
    struct sse_emitter_options options = options_for(&clients[index], drain);

    return start_with(index, &options);
}

static void add(struct client *client)
{
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
}

/* A reader that waits: it has found nothing. */
static void arm(struct client *client)
{
    char buffer[4096];

    while (sse_emitter_read(client->emitter, buffer, sizeof(buffer)) > 0)
        ;
}

static void add_armed(size_t index)
{
    add(start(index, SSE_DRAIN_PULL));
    arm(&clients[index]);
}

static void leave(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_unref(emitter);
}

static int setup(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &fake.host};

    (void)state;
    options.on_wake = on_wake;
    options.user = &wakes;
    fake_host_init(&fake);
    memset(clients, 0, sizeof(clients));
    write_deed = timeout_deed = NULL;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    wakes = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        leave(&clients[i]);
        fake_sink_free(&clients[i].sink);
    }
    sse_registry_unref(registry);
    fake_host_check_no_leak(&fake);
    return 0;
}

static void broadcast(void)
{
    const struct sse_event event = {.data = sse_str("x")};

    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
}

static void send_to(struct client *client)
{
    const struct sse_event event = {.data = sse_str("x")};

    assert_int_equal(sse_emitter_send(client->emitter, &event), 0);
}

static void expect_ready(const struct client *client)
{
    struct sse_emitter *ready = sse_registry_next_ready(registry);

    assert_ptr_equal(ready, client ? client->emitter : NULL);
    sse_emitter_unref(ready);
}

/* What a host does when it is woken; forgets what its wakes were. */
static void settle(void)
{
    struct sse_emitter *ready;

    while ((ready = sse_registry_next_ready(registry)))
        sse_emitter_unref(ready);
    assert_int_equal(sse_registry_tick(registry), 0);
    (void)sse_registry_next_timeout(registry);
    wakes = 0;
}

static void test_pull_emitters_become_ready_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        add_armed(i);
    settle();
    broadcast();
    assert_int_equal(wakes, 1);
    broadcast();
    assert_int_equal(wakes, 1);
    for (size_t i = 0; i < 3; i++)
        expect_ready(&clients[i]);
    expect_ready(NULL);
    settle();
    broadcast();
    assert_int_equal(wakes, 0);
    expect_ready(NULL);
    arm(&clients[1]);
    send_to(&clients[1]);
    assert_int_equal(wakes, 1);
    expect_ready(&clients[1]);
    expect_ready(NULL);
}

static void test_wakes_only_when_the_list_was_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        add_armed(i);
    settle();
    send_to(&clients[2]);
    send_to(&clients[0]);
    assert_int_equal(wakes, 1);
    expect_ready(&clients[2]);
    send_to(&clients[1]);
    arm(&clients[2]);
    send_to(&clients[2]);
    assert_int_equal(wakes, 1);
    expect_ready(&clients[0]);
    expect_ready(&clients[1]);
    expect_ready(&clients[2]);
    arm(&clients[1]);
    send_to(&clients[1]);
    assert_int_equal(wakes, 2);
}

static void test_blocked_emitters_are_ready_once(void **state)
{
    struct client *client = start(0, SSE_DRAIN_CALLBACK);

    (void)state;
    add(client);
    broadcast();
    settle();
    for (int round = 0; round < 2; round++) {
        client->sink.room = 3;
        broadcast();
        broadcast();
        assert_int_equal(sse_emitter_flush(client->emitter), 1);
        assert_int_equal(wakes, 1);
        expect_ready(client);
        expect_ready(NULL);
        client->sink.room = SIZE_MAX;
        assert_int_equal(sse_emitter_flush(client->emitter), 0);
        expect_ready(NULL);
        settle();
    }
}

static void test_blocked_descriptor_is_ready(void **state)
{
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_FD);
    char *large = calloc(1, 900000);
    struct sse_event event = {.data = {.ptr = large, .len = 900000}};
    int ends[2];

    (void)state;
    assert_non_null(large);
    assert_int_equal(pipe(ends), 0);
    options.fd = ends[1];
    add(start_with(0, &options));
    settle();
    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
    assert_int_equal(wakes, 1);
    expect_ready(&clients[0]);
    expect_ready(NULL);
    assert_int_equal(sse_emitter_detach(clients[0].emitter), 0);
    close(ends[0]);
    close(ends[1]);
    free(large);
}

static void test_ended_emitters_are_ready(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};

    (void)state;
    add(start(0, SSE_DRAIN_CALLBACK));
    add(start(1, SSE_DRAIN_CALLBACK));
    add_armed(2);
    settle();
    clients[1].sink.error_at = 0;
    clients[1].sink.error = -EPIPE;
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(sse_emitter_send(clients[1].emitter, &event), -EPIPE);
    send_to(&clients[2]);
    assert_int_equal(sse_emitter_complete_with_error(clients[2].emitter, -EIO), 0);
    assert_int_equal(wakes, 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(clients[i].completions, 1);
        expect_ready(&clients[i]);
    }
    expect_ready(NULL);
}

static void test_detached_emitters_are_never_ready(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        add_armed(i);
    settle();
    assert_int_equal(sse_emitter_detach(clients[0].emitter), 0);
    send_to(&clients[1]);
    send_to(&clients[2]);
    assert_int_equal(sse_emitter_detach(clients[1].emitter), 0);
    assert_int_equal(sse_emitter_complete_with_error(clients[3].emitter, -EIO), 0);
    assert_int_equal(sse_emitter_detach(clients[3].emitter), 0);
    expect_ready(&clients[2]);
    expect_ready(NULL);
}

static void test_new_member_with_bytes_is_ready(void **state)
{
    (void)state;
    settle();
    send_to(start(0, SSE_DRAIN_PULL));
    start(1, SSE_DRAIN_CALLBACK)->sink.room = 0;
    send_to(&clients[1]);
    start(2, SSE_DRAIN_PULL);
    for (size_t i = 0; i < 3; i++)
        add(&clients[i]);
    assert_true(wakes > 0);
    expect_ready(&clients[0]);
    expect_ready(&clients[1]);
    expect_ready(NULL);
}

static void test_removed_emitters_leave_the_list(void **state)
{
    (void)state;
    for (size_t removed = 0; removed < 4; removed++) {
        for (size_t i = 0; i < 4; i++) {
            add_armed(i);
            send_to(&clients[i]);
        }
        assert_int_equal(sse_registry_remove(registry, clients[removed].emitter), 0);
        for (size_t i = 0; i < 4; i++) {
            if (i != removed)
                expect_ready(&clients[i]);
        }
        expect_ready(NULL);
        for (size_t i = 0; i < 4; i++)
            leave(&clients[i]);
        settle();
        sse_registry_unref(registry);
        (void)setup(NULL);
    }
}

static void test_nearer_timers_wake(void **state)
{
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_PULL);

    (void)state;
    options.lifetime_ms = 5000;
    options.stall_ms = 3000;
    options.drain_ms = 2000;
    assert_int_equal(sse_registry_next_timeout(registry), -1);
    add(start_with(0, &options));
    assert_int_equal(wakes, 1);
    assert_int_equal(sse_registry_next_timeout(registry), 5000);
    start(1, SSE_DRAIN_PULL);
    add(&clients[1]);
    assert_int_equal(wakes, 1);
    fake_host_advance_ms(&fake, 100);
    send_to(&clients[0]);
    assert_int_equal(wakes, 2);
    expect_ready(NULL);
    assert_int_equal(sse_registry_next_timeout(registry), 3000);
    send_to(&clients[0]);
    assert_int_equal(wakes, 2);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(wakes, 3);
    assert_int_equal(sse_registry_next_timeout(registry), 2000);
    fake_host_advance_ms(&fake, 1999);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(sse_registry_next_timeout(registry), 1);
    fake_host_advance_ms(&fake, 1);
    assert_int_equal(sse_registry_next_timeout(registry), 0);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(clients[0].reason, SSE_REASON_DRAIN);
    assert_int_equal(sse_registry_next_timeout(registry), -1);
}

#define MANY 10000

static void test_ten_thousand_equal_deadlines(void **state)
{
    static struct sse_emitter *many[MANY];
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_CALLBACK);

    (void)state;
    options.lifetime_ms = 5000;
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(sse_emitter_new(&many[i], &options), 0);
        assert_int_equal(sse_registry_add(registry, many[i]), 0);
    }
    settle();
    fake_host_advance_ms(&fake, 4999);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(clients[0].completions, 0);
    assert_int_equal(sse_registry_next_timeout(registry), 1);
    fake_host_advance_ms(&fake, 1);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(clients[0].completions, MANY);
    assert_int_equal(clients[0].reason, SSE_REASON_LIFETIME);
    assert_int_equal(sse_registry_count(registry, ABSENT), 0);
    for (size_t i = 0; i < MANY; i++)
        sse_emitter_unref(many[i]);
    settle();
}

static uint32_t dice(uint32_t sides)
{
    static uint32_t seed = 1;

    seed = seed * 1664525 + 1013904223;
    return (seed >> 16) % sides;
}

static void start_with_random_timers(size_t index)
{
    struct sse_emitter_options options;

    fake_sink_free(&clients[index].sink);
    options = options_for(&clients[index], SSE_DRAIN_CALLBACK);
    options.heartbeat_ms = dice(3) ? 20 + dice(200) : SSE_TIMER_OFF;
    options.stall_ms = dice(3) ? 5 + dice(200) : SSE_TIMER_OFF;
    options.drain_ms = 1 + dice(50);
    options.lifetime_ms = dice(3) ? 0 : 100 + dice(2000);
    add(start_with(index, &options));
}

static bool is_open(const struct client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info.state == SSE_STATE_OPEN;
}

/* Changes what one emitter's next deadline is, mostly to a later one. */
static void disturb(size_t index)
{
    struct client *client = &clients[index];
    const struct sse_event event = {.data = sse_str("x")};

    if (client->completions) {
        leave(client);
        client->completions = 0;
        start_with_random_timers(index);
    }
    client->sink.room = dice(4) ? SIZE_MAX : 0;
    (void)sse_emitter_flush(client->emitter);
    if (dice(2))
        (void)sse_emitter_send(client->emitter, &event);
    if (!dice(40))
        (void)sse_emitter_complete(client->emitter);
    /* One that drains already could not come back. */
    if (!dice(20) && is_open(client) && !sse_registry_remove(registry, client->emitter))
        add(client);
}

/* A host that sleeps until it is told to wake up is never late, and nobody is ticked early. */
static void test_timers_run_neither_early_nor_late(void **state)
{
    int64_t alarm_in = 0; /* milliseconds; below 0 never */

    (void)state;
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        start_with_random_timers(i);
    for (int step = 0; step < 4000; step++) {
        bool due[CLIENT_COUNT], any_due = false, awake = alarm_in == 0 || wakes;
        size_t sizes[CLIENT_COUNT];

        for (size_t i = 0; i < CLIENT_COUNT; i++) {
            due[i] = !clients[i].completions && sse_emitter_next_timeout(clients[i].emitter) == 0;
            any_due = any_due || due[i];
            sizes[i] = clients[i].sink.size + (size_t)clients[i].completions;
        }
        assert_true(awake || !any_due);
        if (awake) {
            settle();
            alarm_in = sse_registry_next_timeout(registry);
            assert_int_not_equal(alarm_in, 0);
        }
        for (size_t i = 0; awake && i < CLIENT_COUNT; i++) {
            assert_int_not_equal(sse_emitter_next_timeout(clients[i].emitter), 0);
            if (!due[i])
                assert_int_equal(sizes[i], clients[i].sink.size + (size_t)clients[i].completions);
        }
        disturb(dice(CLIENT_COUNT));
        fake_host_advance_ms(&fake, 1);
        alarm_in -= alarm_in > 0;
    }
}

static void remove_second(void)
{
    assert_int_equal(sse_registry_remove(registry, clients[1].emitter), 0);
}

/* A removed emitter's timers are the host's affair at once. */
static void test_removed_in_a_tick(void **state)
{
    struct sse_emitter_options options;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        options = options_for(&clients[i], SSE_DRAIN_PULL);
        options.stall_ms = 100;
        add(start_with(i, &options));
        send_to(&clients[i]);
    }
    timeout_deed = remove_second;
    fake_host_advance_ms(&fake, 100);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(clients[0].completions, 1);
    assert_int_equal(clients[1].completions, 0);
    assert_int_equal(sse_emitter_tick(clients[1].emitter), 0);
    assert_int_equal(clients[1].reason, SSE_REASON_STALL);
}

static int told;

static void ask_for_timeout(void)
{
    told = sse_registry_next_timeout(registry);
    wakes = 0;
}

/* Whoever asks during a tick, as another thread may, must not sleep past what the tick leaves. */
static void test_asked_in_a_tick(void **state)
{
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_CALLBACK);

    (void)state;
    options.heartbeat_ms = 1000;
    add(start_with(0, &options));
    settle();
    write_deed = ask_for_timeout;
    fake_host_advance_ms(&fake, 1000);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_null(write_deed);
    assert_int_equal(clients[0].sink.size, 2);
    assert_true(wakes || (told >= 0 && told <= sse_emitter_next_timeout(clients[0].emitter)));
}

static void test_members_live_on_without_the_registry(void **state)
{
    struct client *held = start(0, SSE_DRAIN_CALLBACK), *unheld = start(1, SSE_DRAIN_CALLBACK);

    (void)state;
    add(held);
    add(unheld);
    leave(unheld);
    sse_registry_unref(registry);
    assert_int_equal(unheld->completions, 1);
    assert_int_equal(unheld->reason, SSE_REASON_DETACHED);
    assert_int_equal(held->completions, 0);
    send_to(held);
    assert_int_equal(held->sink.size, 9);
    assert_int_equal(sse_registry_new(&registry, NULL), 0);
    add(held);
}

#define DRIVE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DRIVE_TEST(test_pull_emitters_become_ready_once),
        DRIVE_TEST(test_wakes_only_when_the_list_was_empty),
        DRIVE_TEST(test_blocked_emitters_are_ready_once),
        DRIVE_TEST(test_blocked_descriptor_is_ready),
        DRIVE_TEST(test_ended_emitters_are_ready),
        DRIVE_TEST(test_detached_emitters_are_never_ready),
        DRIVE_TEST(test_new_member_with_bytes_is_ready),
        DRIVE_TEST(test_removed_emitters_leave_the_list),
        DRIVE_TEST(test_nearer_timers_wake),
        DRIVE_TEST(test_ten_thousand_equal_deadlines),
        DRIVE_TEST(test_timers_run_neither_early_nor_late),
        DRIVE_TEST(test_removed_in_a_tick),
        DRIVE_TEST(test_asked_in_a_tick),
        DRIVE_TEST(test_members_live_on_without_the_registry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

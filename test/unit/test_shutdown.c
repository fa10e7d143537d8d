/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLIENTS 6
#define MANY 10000
#define BUCKETS 100
#define DRAIN_MS 2000
#define FAREWELL "data: bye\n\n"

static const struct sse_event farewell = {.data = {"bye", 3}};
static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];

static int set_up(void **state)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &host.host, .history = {.events = 10}, .epoch = sse_str("E")};

    (void)state;
    fake_host_init(&host);
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

static struct fake_client *prepare(size_t which, enum sse_drain drain, size_t room)
{
    fake_client_init(&clients[which], &host, drain);
    clients[which].sink.room = room;
    return &clients[which];
}

static struct fake_client *enter(struct fake_client *client)
{
    fake_client_open(client);
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
    return client;
}

static struct fake_client *join(size_t which, enum sse_drain drain, size_t room)
{
    return enter(prepare(which, drain, room));
}

static void send_one(struct fake_client *client)
{
    assert_int_equal(sse_emitter_send(client->emitter, &(struct sse_event){.data = sse_str("1")}), 0);
}

static int shut_down(const struct sse_event *event, int64_t retry_min, int64_t retry_max, int64_t drain)
{
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .farewell = event,
                                                 .retry_min_ms = retry_min,
                                                 .retry_max_ms = retry_max,
                                                 .drain_ms = drain};

    return sse_registry_shutdown(registry, &options);
}

static void expect_report(size_t remaining, size_t completed, size_t cut, uint64_t bytes_left)
{
    struct sse_shutdown_report report = {.size = sizeof(report)};

    assert_int_equal(sse_registry_shutdown_report(registry, &report), 0);
    assert_int_equal(report.remaining, remaining);
    assert_int_equal(report.completed, completed);
    assert_int_equal(report.cut, cut);
    assert_int_equal(report.bytes_left, bytes_left);
}

static void expect_end(const struct fake_client *client, enum sse_reason reason, int error)
{
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, reason);
    assert_int_equal(client->completion.error, error);
    assert_int_equal(fake_client_info(client).state, SSE_STATE_CLOSED);
    assert_int_equal(fake_client_info(client).reason, reason);
    assert_int_equal(fake_client_info(client).error, error);
    assert_int_equal(client->errors, 0);
    assert_int_equal(client->timeouts, reason == SSE_REASON_DRAIN);
    assert_false(sse_registry_has(registry, client->emitter));
}

/* Byte for byte, blank lines and chunks included, for every drain. */
static void everybody_is_told_and_ends(void **state)
{
    (void)state;
    join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
    prepare(1, SSE_DRAIN_CALLBACK, SIZE_MAX)->options.framing = SSE_FRAMING_CHUNKED;
    enter(&clients[1]);
    join(2, SSE_DRAIN_PULL, SIZE_MAX);
    prepare(3, SSE_DRAIN_PULL, SIZE_MAX)->options.framing = SSE_FRAMING_CHUNKED;
    enter(&clients[3]);
    assert_int_equal(fake_client_pull(&clients[3]), 0);
    assert_int_equal(shut_down(&farewell, 1234, 1234, DRAIN_MS), 0);
    expect_report(2, 2, 0, 0);
    assert_int_equal(clients[3].ready, 1);
    assert_int_equal(fake_client_info(&clients[2]).state, SSE_STATE_DRAINING);
    assert_int_equal(fake_client_pull(&clients[2]), -ESHUTDOWN);
    expect_report(1, 3, 0, 0);
    assert_int_equal(fake_client_pull(&clients[3]), -ESHUTDOWN);
    expect_report(0, 4, 0, 0);
    for (size_t i = 0; i < 4; i++) {
        expect_end(&clients[i], SSE_REASON_SHUTDOWN, 0);
        assert_int_equal(clients[i].completion.events, 1);
        assert_int_equal(clients[i].completion.dropped, 0);
        assert_string_equal(fake_client_text(&clients[i]), i % 2 ? "b\r\n" FAREWELL
                                                                   "\r\nd\r\nretry: 1234\n\n\r\n0\r\n\r\n"
                                                                 : FAREWELL "retry: 1234\n\n");
        assert_int_equal(sse_emitter_send(clients[i].emitter, &farewell), -ESHUTDOWN);
    }
}

static void farewell_and_retry_are_optional(void **state)
{
    const struct {
        const struct sse_event *farewell;
        int64_t retry;
        const char *text;
    } cases[] = {{NULL, 0, ""},
                 {&farewell, 0, FAREWELL},
                 {NULL, SSE_RETRY_MAX, "retry: 2147483647\n\n"},
                 {NULL, 1, "retry: 1\n\n"}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

        sse_registry_unref(registry);
        assert_int_equal(sse_registry_new(&registry, &options), 0);
        join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
        assert_int_equal(shut_down(cases[i].farewell, cases[i].retry, cases[i].retry, 0), 0);
        assert_string_equal(fake_client_text(&clients[0]), cases[i].text);
        expect_end(&clients[0], SSE_REASON_SHUTDOWN, 0);
        expect_report(0, 1, 0, 0);
        fake_client_free(&clients[0]);
    }
}

/* It is no event of any topic: it gets no id and is not kept. */
static void the_farewell_is_not_published(void **state)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    (void)state;
    join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
    assert_int_equal(sse_registry_broadcast(registry, &farewell, NULL), 0);
    assert_int_equal(shut_down(&farewell, 0, 0, 0), 0);
    assert_string_equal(fake_client_text(&clients[0]), "data: bye\nid: E-0000000000000001\n\n" FAREWELL);
    assert_string_equal(clients[0].last_id, "E-0000000000000001");
    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    assert_int_equal(stats.history_events, 1);
    assert_int_equal(stats.published, 1);
    assert_int_equal(stats.closed[SSE_REASON_SHUTDOWN], 1);
}

static void options_have_their_ranges(void **state)
{
    const int64_t bad[][2] = {{0, 1}, {1, 0}, {2, 1}, {-1, 5}, {-1, -1}, {1, SSE_RETRY_MAX + 1}, {0, -1}};
    const struct sse_shutdown_options unknown = {.size = sizeof(unknown) - 1};
    const struct sse_event wrong = {.type = sse_str("x")};
    struct sse_shutdown_report report = {.size = sizeof(report)};

    (void)state;
    join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(shut_down(NULL, bad[i][0], bad[i][1], 0), -ERANGE);
    assert_int_equal(shut_down(NULL, 0, 0, -1), -EINVAL);
    assert_int_equal(shut_down(&wrong, 0, 0, 0), -EINVAL);
    assert_int_equal(shut_down(&(struct sse_event){.data = sse_str("\xff")}, 0, 0, 0), -EILSEQ);
    assert_int_equal(sse_registry_shutdown(registry, NULL), -EINVAL);
    assert_int_equal(sse_registry_shutdown(registry, &unknown), -EINVAL);
    assert_int_equal(sse_registry_shutdown(NULL, &unknown), -EINVAL);
    assert_int_equal(sse_registry_shutdown_report(registry, &report), -EAGAIN);
    assert_int_equal(sse_registry_shutdown_report(registry, NULL), -EINVAL);
    assert_int_equal(sse_registry_shutdown_report(NULL, &report), -EINVAL);
    assert_int_equal(fake_client_info(&clients[0]).state, SSE_STATE_OPEN);
    assert_string_equal(fake_client_text(&clients[0]), "");
    assert_int_equal(shut_down(NULL, 1, SSE_RETRY_MAX, 0), 0);
    report.size--;
    assert_int_equal(sse_registry_shutdown_report(registry, &report), -EINVAL);
    assert_int_equal(shut_down(NULL, 0, 0, 0), -EALREADY);
    assert_int_equal(shut_down(&farewell, 0, 0, 7), -EALREADY);
    assert_int_equal(shut_down(NULL, 0, 0, -1), -EINVAL);
    expect_report(0, 1, 0, 0);
}

static void nobody_joins_any_more(void **state)
{
    const struct sse_str topic = sse_str("t");
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    (void)state;
    join(0, SSE_DRAIN_CALLBACK, 0);
    send_one(&clients[0]);
    assert_int_equal(shut_down(NULL, 0, 0, DRAIN_MS), 0);
    fake_client_new(&clients[1], &host, SSE_DRAIN_CALLBACK);
    assert_int_equal(sse_registry_add(registry, clients[1].emitter), -ESHUTDOWN);
    assert_int_equal(
        sse_registry_subscribe(registry, clients[1].emitter, &topic, 1, sse_str("E-0000000000000000"), NULL),
        -ESHUTDOWN);
    assert_int_equal(sse_registry_count(registry, topic), 0);
    assert_int_equal(sse_registry_broadcast(registry, &farewell, &delivery), 0);
    assert_int_equal(delivery.written + delivery.queued + delivery.dropped + delivery.closed, 0);
    assert_string_equal(fake_client_text(&clients[1]), "");
    assert_int_equal(fake_client_info(&clients[1]).state, SSE_STATE_OPEN);
    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    assert_int_equal(stats.added, 1);
    expect_report(1, 0, 0, 0);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[0]), "data: 1\n\n");
    expect_report(0, 1, 0, 0);
}

/* A torn event is finished, and the queue may be as full as it likes. */
static void what_waits_goes_first(void **state)
{
    struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK, 4);

    (void)state;
    client->options.queue_messages = 2;
    enter(client);
    send_one(client);
    send_one(client);
    assert_int_equal(shut_down(&farewell, 5, 5, DRAIN_MS), 0);
    assert_int_equal(fake_client_info(client).queued_messages, 4);
    fake_client_make_room(client, SIZE_MAX);
    assert_string_equal(fake_client_text(client), "data: 1\n\ndata: 1\n\n" FAREWELL "retry: 5\n\n");
    expect_end(client, SSE_REASON_SHUTDOWN, 0);
}

/* One drains in time, one is stuck, one has lost its client, one is torn in the middle. */
static void the_deadline_cuts_what_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        send_one(join(i, SSE_DRAIN_CALLBACK, 0));
    assert_int_equal(sse_registry_next_timeout(registry), -1);
    assert_int_equal(shut_down(&farewell, 77, 77, DRAIN_MS), 0);
    expect_report(4, 0, 0, 0);
    assert_int_equal(sse_registry_next_timeout(registry), DRAIN_MS);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_report(3, 1, 0, 0);
    assert_int_equal(sse_emitter_complete_with_error(clients[2].emitter, -EPIPE), 0);
    expect_report(2, 1, 1, 9 + 11 + 11);
    fake_client_make_room(&clients[3], 12);
    fake_host_advance_ms(&host, DRAIN_MS - 1);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_report(2, 1, 1, 31);
    assert_int_equal(sse_registry_next_timeout(registry), 1);
    fake_host_advance_ms(&host, 1);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_report(0, 1, 3, 31 + 31 + 31 - 12);
    expect_end(&clients[0], SSE_REASON_SHUTDOWN, 0);
    expect_end(&clients[1], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    expect_end(&clients[3], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    assert_int_equal(clients[2].completion.reason, SSE_REASON_PEER_GONE);
    assert_int_equal(clients[1].completion.dropped, 2);
    assert_int_equal(clients[3].completion.dropped, 1);
    assert_int_equal(clients[3].completion.events, 1);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &farewell), -ESHUTDOWN);
    assert_int_equal(sse_emitter_send(clients[1].emitter, &farewell), -ETIMEDOUT);
    fake_client_make_room(&clients[1], SIZE_MAX);
    fake_client_make_room(&clients[3], SIZE_MAX);
    assert_int_equal(clients[1].sink.size, 0);
    assert_int_equal(clients[3].sink.size, 12);
}

/* The sinks get their one chance. */
static void without_time_to_drain_it_is_over_at_once(void **state)
{
    (void)state;
    join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
    join(1, SSE_DRAIN_CALLBACK, 15);
    join(2, SSE_DRAIN_PULL, 0);
    join(3, SSE_DRAIN_PULL, 0);
    send_one(&clients[3]);
    assert_int_equal(sse_emitter_complete(clients[3].emitter), 0);
    assert_int_equal(shut_down(&farewell, 5, 5, 0), 0);
    expect_report(0, 1, 3, 21 - 15 + 21 + 9);
    expect_end(&clients[0], SSE_REASON_SHUTDOWN, 0);
    expect_end(&clients[1], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    expect_end(&clients[2], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    expect_end(&clients[3], SSE_REASON_DRAIN, -ETIMEDOUT);
    assert_int_equal(fake_client_pull(&clients[2]), -ETIMEDOUT);
    assert_string_equal(fake_client_text(&clients[0]), FAREWELL "retry: 5\n\n");
    assert_string_equal(fake_client_text(&clients[1]), FAREWELL "retr");
    assert_string_equal(fake_client_text(&clients[2]), "");
}

/* It said its own farewell; only the deadline may come nearer. */
static void those_that_were_ending_keep_their_reason(void **state)
{
    const int64_t drains[] = {DRAIN_MS / 2, DRAIN_MS * 2, SSE_TIMER_OFF, DRAIN_MS * 2};

    (void)state;
    for (size_t i = 0; i < COUNT(drains); i++) {
        prepare(i, SSE_DRAIN_CALLBACK, 0)->options.drain_ms = drains[i];
        if (i == 3)
            clients[i].options.lifetime_ms = 10;
        send_one(enter(&clients[i]));
        if (i < 3)
            assert_int_equal(sse_emitter_complete(clients[i].emitter), 0);
    }
    fake_host_advance_ms(&host, 10);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(fake_client_info(&clients[3]).state, SSE_STATE_DRAINING);
    assert_int_equal(shut_down(&farewell, 5, 5, DRAIN_MS), 0);
    fake_host_advance_ms(&host, DRAIN_MS / 2);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_end(&clients[0], SSE_REASON_DRAIN, -ETIMEDOUT);
    expect_report(3, 0, 1, 9);
    fake_client_make_room(&clients[2], SIZE_MAX);
    expect_end(&clients[2], SSE_REASON_COMPLETED, 0);
    assert_string_equal(fake_client_text(&clients[2]), "data: 1\n\n");
    expect_report(2, 1, 1, 9);
    fake_host_advance_ms(&host, DRAIN_MS / 2);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_end(&clients[1], SSE_REASON_DRAIN, -ETIMEDOUT);
    expect_end(&clients[3], SSE_REASON_DRAIN, -ETIMEDOUT);
    expect_report(0, 1, 3, 27);
}

/* drain_ms of an emitter counts from complete or the lifetime: a shutdown has its own. */
static void the_time_to_drain_is_that_of_the_shutdown(void **state)
{
    const int64_t drains[] = {DRAIN_MS / 2, DRAIN_MS * 2, 0, SSE_TIMER_OFF};

    (void)state;
    for (size_t i = 0; i < COUNT(drains); i++) {
        prepare(i, SSE_DRAIN_CALLBACK, 0)->options.drain_ms = drains[i];
        enter(&clients[i]);
    }
    assert_int_equal(shut_down(&farewell, 0, 0, 6000), 0);
    fake_host_advance_ms(&host, 5999);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_report(4, 0, 0, 0);
    fake_host_advance_ms(&host, 1);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_report(0, 0, 4, 44);
    for (size_t i = 0; i < COUNT(drains); i++)
        expect_end(&clients[i], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
}

static void *wait_and_read(void *user)
{
    struct fake_client *client = user;
    int result;

    while ((result = sse_emitter_wait(client->emitter, -1)) > 0)
        (void)fake_client_pull(client);
    return (void *)(intptr_t)result;
}

/* They wait without limit: that this test ends is what it tests. */
static void waiting_threads_are_woken(void **state)
{
    const struct {
        const struct sse_event *farewell;
        int64_t drain;
        int result;
    } cases[] = {{&farewell, DRAIN_MS, -ESHUTDOWN}, {NULL, DRAIN_MS, -ESHUTDOWN}, {NULL, 0, -ESHUTDOWN}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};
        pthread_t threads[3];
        void *result;

        sse_registry_unref(registry);
        assert_int_equal(sse_registry_new(&registry, &options), 0);
        for (size_t j = 0; j < COUNT(threads); j++) {
            join(j, SSE_DRAIN_PULL, 0)->sink.room = SIZE_MAX;
            assert_int_equal(pthread_create(&threads[j], NULL, wait_and_read, &clients[j]), 0);
        }
        assert_int_equal(shut_down(cases[i].farewell, 0, 0, cases[i].drain), 0);
        for (size_t j = 0; j < COUNT(threads); j++) {
            assert_int_equal(pthread_join(threads[j], &result), 0);
            assert_int_equal((intptr_t)result, cases[i].result);
            assert_string_equal(fake_client_text(&clients[j]), cases[i].farewell ? FAREWELL : "");
            fake_client_free(&clients[j]);
        }
        expect_report(0, COUNT(threads), 0, 0);
    }
}

static long retry_of(struct fake_client *client)
{
    const char *text = fake_client_text(client);
    char *end;
    long retry;

    assert_memory_equal(text, "retry: ", 7);
    retry = strtol(text + 7, &end, 10);
    assert_string_equal(end, "\n\n");
    return retry;
}

/* Ten thousand clients, one hundred parts of the range: none comes back as a herd. */
static void check_spread(const struct sse_host *with, long min, long max)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = with};
    struct fake_client *many = calloc(MANY, sizeof(*many));
    unsigned buckets[BUCKETS] = {0};
    long lowest = max, highest = min;

    assert_non_null(many);
    sse_registry_unref(registry);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    for (size_t i = 0; i < MANY; i++) {
        fake_client_init(&many[i], &host, SSE_DRAIN_CALLBACK);
        many[i].options.host = with;
        enter(&many[i]);
    }
    assert_int_equal(shut_down(NULL, min, max, DRAIN_MS), 0);
    for (size_t i = 0; i < MANY; i++) {
        long retry = retry_of(&many[i]);

        assert_in_range(retry, min, max);
        buckets[(retry - min) * BUCKETS / (max - min + 1)]++;
        lowest = retry < lowest ? retry : lowest;
        highest = retry > highest ? retry : highest;
        fake_client_free(&many[i]);
    }
    for (size_t i = 0; i < BUCKETS; i++)
        assert_in_range(buckets[i], 1, 2 * MANY / BUCKETS);
    assert_in_range(lowest - min, 0, (max - min) / 100);
    assert_in_range(max - highest, 0, (max - min) / 100);
    expect_report(0, MANY, 0, 0);
    free(many);
}

static void many_clients_do_not_come_back_at_once(void **state)
{
    (void)state;
    check_spread(&host.host, 1000, 10999);
    check_spread(&host.host, 1, SSE_RETRY_MAX);
    check_spread(NULL, 500, 30499);
}

/* Both ends of a range can come. */
static void a_range_includes_its_ends(void **state)
{
    unsigned seen[3] = {0};

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};
        long retry;

        sse_registry_unref(registry);
        assert_int_equal(sse_registry_new(&registry, &options), 0);
        join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
        assert_int_equal(shut_down(NULL, 8, 10, 0), 0);
        retry = retry_of(&clients[0]);
        assert_in_range(retry, 8, 10);
        seen[retry - 8]++;
        fake_client_free(&clients[0]);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
}

/* What a process of its own tells its clients, one after the other. */
static void shut_down_in_child(int fd)
{
    const struct sse_emitter_options options = {.size = sizeof(options), .drain = SSE_DRAIN_FD, .fd = fd};
    const struct sse_shutdown_options range = {
        .size = sizeof(range), .retry_min_ms = 1, .retry_max_ms = SSE_RETRY_MAX};
    struct sse_registry *own;
    struct sse_emitter *emitter;
    int error = sse_registry_new(&own, NULL);

    for (size_t i = 0; !error && i < CLIENTS; i++) {
        error = sse_emitter_new(&emitter, &options);
        if (!error)
            error = sse_registry_add(own, emitter);
    }
    if (!error)
        error = sse_registry_shutdown(own, &range);
    _exit(error ? 1 : 0);
}

static void read_shutdown_of_child(char *text, size_t size)
{
    int ends[2], status;
    ssize_t count;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        shut_down_in_child(ends[1]);
    close(ends[1]);
    while ((count = read(ends[0], text, size - 1)) > 0) {
        text += count;
        size -= (size_t)count;
    }
    *text = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Workers that were forked alike have their emitters at the same addresses. */
static void workers_of_one_server_tell_different_retries(void **state)
{
    char texts[2][512];

    (void)state;
    read_shutdown_of_child(texts[0], sizeof(texts[0]));
    read_shutdown_of_child(texts[1], sizeof(texts[1]));
    assert_memory_equal(texts[0], "retry: ", 7);
    assert_string_not_equal(texts[0], texts[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everybody_is_told_and_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(farewell_and_retry_are_optional, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_farewell_is_not_published, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_have_their_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_joins_any_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_waits_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_deadline_cuts_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_time_to_drain_it_is_over_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_were_ending_keep_their_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_time_to_drain_is_that_of_the_shutdown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waiting_threads_are_woken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_clients_do_not_come_back_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(workers_of_one_server_tell_different_retries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_range_includes_its_ends, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

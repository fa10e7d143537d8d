/* SPDX-License-Identifier: MIT */
/* Two readers of one ring, as in two workers: between replay and live events nothing is lost or sent twice, and
 * clients are notified of lost events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_reader.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_SIZE ((size_t)4 << 20)

/** Lets this many allocations fail. */
struct memory {
    unsigned failures;
    struct sse_platform platform;
};

struct worker {
    struct sse_registry *registry;
    struct ring_reader *reader;
};

struct stage {
    struct memory memory;
    struct ring *ring;
    struct worker workers[2];
    char *text;
};

static void *allocate(size_t size, void *user)
{
    struct memory *memory = user;

    if (!memory->failures)
        return malloc(size);
    memory->failures--;
    return NULL;
}

static void deallocate(void *block, void *user)
{
    (void)user;
    free(block);
}

static void open_worker(struct stage *stage, struct worker *worker, const char *ready_type)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &stage->memory.platform};

    assert_int_equal(sse_registry_new(&worker->registry, &options), 0);
    assert_int_equal(
        ring_reader_open(&worker->reader, &(struct ring_reader_options){.ring = stage->ring,
                                                                        .registry = worker->registry,
                                                                        .ready_type = sse_str(ready_type)}),
        0);
}

static void close_worker(struct worker *worker)
{
    ring_reader_close(worker->reader);
    sse_registry_unref(worker->registry);
}

static void stage_open(struct stage *stage, size_t events)
{
    const struct ring_options options = {.events = events};

    *stage = (struct stage){.text = malloc(TEXT_SIZE)};
    stage->memory.platform = (struct sse_platform){
        .size = sizeof(struct sse_platform), .allocate = allocate, .deallocate = deallocate};
    stage->memory.platform.user = &stage->memory;
    assert_int_equal(ring_create(&stage->ring, &options), 0);
    open_worker(stage, &stage->workers[0], NULL);
    open_worker(stage, &stage->workers[1], "ready");
}

static void stage_close(struct stage *stage)
{
    close_worker(&stage->workers[0]);
    close_worker(&stage->workers[1]);
    ring_free(stage->ring);
    free(stage->text);
}

/* A client that pulls, without a loop. */
static struct sse_emitter *join(struct worker *worker, const char *topic, const char *id, size_t queue_bytes)
{
    const struct sse_text topics[] = {sse_str(topic)};
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .topics = topics,
                                                .topic_count = 1,
                                                .output = SSE_OUTPUT_PULL,
                                                .last_event_id = sse_str(id),
                                                .queue_bytes = queue_bytes};
    struct sse_emitter *emitter;

    assert_int_equal(ring_reader_stream(worker->reader, &emitter, &options), 0);
    return emitter;
}

/* The bytes that the client received, without the comment at the beginning of a stream. Each id is replaced by its
 * number. */
static const char *pull(struct stage *stage, struct sse_emitter *emitter)
{
    char id[RING_ID_SIZE];
    ssize_t size;
    size_t total = 0, era;
    char *at;

    while (total < TEXT_SIZE - 1 &&
           (size = sse_emitter_read(emitter, stage->text + total, TEXT_SIZE - 1 - total)) > 0)
        total += (size_t)size;
    stage->text[total] = '\0';
    ring_format_id(stage->ring, 0, id);
    era = strlen(id) - 1;
    id[era] = '\0';
    for (at = stage->text; (at = strstr(at, id)) != NULL;)
        memmove(at, at + era, strlen(at + era) + 1);
    at = stage->text;
    if (!strncmp(at, ":\n", 2))
        at += 2;
    return at;
}

static void publish(struct stage *stage, const char *topic, const char *data)
{
    assert_int_equal(
        ring_publish(stage->ring, sse_str(topic), &(struct sse_event){.data = sse_str(data)}, NULL), 0);
}

static void drain(struct worker *worker)
{
    assert_int_equal(ring_reader_drain(worker->reader), 0);
}

static const char *id_of(struct stage *stage, uint64_t number)
{
    static char id[RING_ID_SIZE];

    return ring_format_id(stage->ring, number, id);
}

static bool is_readable(const struct worker *worker)
{
    struct pollfd readable = {.fd = ring_reader_fd(worker->reader), .events = POLLIN};

    return poll(&readable, 1, 0) == 1;
}

static void every_worker_gets_every_event(void **state)
{
    struct sse_emitter *clients[2];
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    for (int i = 0; i < 2; i++)
        clients[i] = join(&stage.workers[i], "a", NULL, 0);
    assert_string_equal(pull(&stage, clients[0]), "id: 0\n\n");
    assert_string_equal(pull(&stage, clients[1]), "event: ready\ndata: \nid: 0\n\n");
    publish(&stage, "a", "one");
    publish(&stage, "b", "two");
    publish(&stage, NULL, "three");
    for (int i = 0; i < 2; i++) {
        assert_true(is_readable(&stage.workers[i]));
        drain(&stage.workers[i]);
        assert_false(is_readable(&stage.workers[i]));
        assert_string_equal(pull(&stage, clients[i]), "data: one\nid: 1\n\ndata: three\nid: 3\n\n");
        sse_emitter_close(clients[i]);
    }
    stage_close(&stage);
}

static void types_and_keys_arrive(void **state)
{
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    client = join(&stage.workers[0], "a", NULL, 0);
    (void)pull(&stage, client);
    assert_int_equal(ring_publish(stage.ring, sse_str("a"),
                                  &(struct sse_event){
                                      .type = sse_str("alarm"), .data = sse_str("1\n2"), .key = sse_str("k")},
                                  NULL),
                     0);
    drain(&stage.workers[0]);
    assert_string_equal(pull(&stage, client), "event: alarm\ndata: 1\ndata: 2\nid: 1\n\n");
    sse_emitter_close(client);
    stage_close(&stage);
}

/* The other worker has not even drained. */
static void who_comes_back_elsewhere_misses_nothing(void **state)
{
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    for (int i = 1; i <= 3; i++)
        publish(&stage, "a", "missed");
    publish(&stage, NULL, "everyone's");
    publish(&stage, "b", "another's");
    client = join(&stage.workers[1], "a", id_of(&stage, 1), 0);
    assert_string_equal(pull(&stage, client), "data: missed\nid: 2\n\ndata: missed\nid: 3\n\n"
                                              "data: everyone's\nid: 4\n\nid: 5\n\n");
    publish(&stage, "a", "live");
    drain(&stage.workers[1]);
    assert_string_equal(pull(&stage, client), "data: live\nid: 6\n\n");
    sse_emitter_close(client);
    client = join(&stage.workers[0], "a", id_of(&stage, 6), 0);
    assert_string_equal(pull(&stage, client), "id: 6\n\n");
    sse_emitter_close(client);
    stage_close(&stage);
}

static void a_gap_is_told(void **state)
{
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 3);
    for (int i = 1; i <= 9; i++)
        publish(&stage, "a", "x");
    client = join(&stage.workers[0], "a", id_of(&stage, 2), 0);
    assert_string_equal(pull(&stage, client),
                        "event: gap\ndata: 2\ndata: 7\nid: 6\n\n"
                        "data: x\nid: 7\n\ndata: x\nid: 8\n\ndata: x\nid: 9\n\nid: 9\n\n");
    sse_emitter_close(client);
    /* The last complete event. */
    client = join(&stage.workers[0], "a", id_of(&stage, 6), 0);
    assert_string_equal(pull(&stage, client),
                        "data: x\nid: 7\n\ndata: x\nid: 8\n\ndata: x\nid: 9\n\nid: 9\n\n");
    sse_emitter_close(client);
    stage_close(&stage);
}

static void an_unknown_id_is_a_gap(void **state)
{
    static const char *const ids[][2] = {{"5", "5"}, {"nonsense", "nonsense"}, {"a\nb", ""}, {"1-5", "1-5"}};
    struct sse_emitter *client;
    struct stage stage;
    char expected[128];

    (void)state;
    stage_open(&stage, 0);
    publish(&stage, "a", "before");
    publish(&stage, "a", "before");
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        client = join(&stage.workers[0], "a", ids[i][0], 0);
        snprintf(expected, sizeof(expected), "event: gap\ndata: %s\ndata: \nid: 2\n\n", ids[i][1]);
        assert_string_equal(pull(&stage, client), expected);
        sse_emitter_close(client);
    }
    stage_close(&stage);
}

static void a_reader_that_is_overtaken_tells_everybody(void **state)
{
    struct sse_emitter *client, *other;
    struct stage stage;

    (void)state;
    stage_open(&stage, 3);
    client = join(&stage.workers[0], "a", NULL, 0);
    other = join(&stage.workers[0], "b", NULL, 0);
    publish(&stage, "a", "first");
    drain(&stage.workers[0]);
    (void)pull(&stage, client);
    (void)pull(&stage, other);
    for (int i = 2; i <= 9; i++)
        publish(&stage, "a", "x");
    drain(&stage.workers[0]);
    assert_string_equal(pull(&stage, client), "event: gap\ndata: 1\ndata: 7\nid: 6\n\n"
                                              "data: x\nid: 7\n\ndata: x\nid: 8\n\ndata: x\nid: 9\n\n");
    assert_string_equal(pull(&stage, other), "event: gap\ndata: 1\ndata: 7\nid: 6\n\n");
    sse_emitter_close(client);
    sse_emitter_close(other);
    stage_close(&stage);
}

/* The rest is for the next call, and the descriptor stays readable. */
static void a_drain_is_bounded(void **state)
{
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    client = join(&stage.workers[0], "a", NULL, 0);
    for (int i = 1; i <= 600; i++)
        publish(&stage, "a", "x");
    assert_int_equal(ring_reader_drain(stage.workers[0].reader), 1);
    assert_non_null(strstr(pull(&stage, client), "id: 256\n\n"));
    assert_true(is_readable(&stage.workers[0]));
    assert_int_equal(ring_reader_drain(stage.workers[0].reader), 1);
    drain(&stage.workers[0]);
    assert_false(is_readable(&stage.workers[0]));
    assert_non_null(strstr(pull(&stage, client), "id: 600\n\n"));
    sse_emitter_close(client);
    stage_close(&stage);
}

static void a_new_reader_begins_with_the_next_event(void **state)
{
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    publish(&stage, "a", "before");
    close_worker(&stage.workers[0]);
    open_worker(&stage, &stage.workers[0], "");
    assert_false(is_readable(&stage.workers[0]));
    client = join(&stage.workers[0], "a", NULL, 0);
    assert_string_equal(pull(&stage, client), "id: 1\n\n");
    publish(&stage, "a", "after");
    drain(&stage.workers[0]);
    assert_string_equal(pull(&stage, client), "data: after\nid: 2\n\n");
    sse_emitter_close(client);
    stage_close(&stage);
}

/* No event is lost. */
static void without_memory_a_drain_is_repeated(void **state)
{
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    client = join(&stage.workers[0], "a", NULL, 0);
    (void)pull(&stage, client);
    publish(&stage, "a", "one");
    publish(&stage, "a", "two");
    stage.memory.failures = 1;
    assert_int_equal(ring_reader_drain(stage.workers[0].reader), -ENOMEM);
    drain(&stage.workers[0]);
    assert_string_equal(pull(&stage, client), "data: one\nid: 1\n\ndata: two\nid: 2\n\n");
    sse_emitter_close(client);
    stage_close(&stage);
}

static void without_memory_nobody_joins(void **state)
{
    const struct sse_emitter_options options = {.size = sizeof(options), .output = SSE_OUTPUT_PULL};
    struct sse_emitter *client = NULL;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    publish(&stage, "a", "one");
    stage.memory.failures = 1;
    assert_int_equal(ring_reader_stream(stage.workers[0].reader, &client, &options), -ENOMEM);
    assert_null(client);
    assert_int_equal(sse_registry_count(stage.workers[0].registry, sse_str(NULL)), 0);
    stage_close(&stage);
}

/* Otherwise the client would reconnect for it for ever. Events sent to a paused emitter are not held to its
 * limits. */
static void an_event_that_its_queue_cannot_hold_is_made_up(void **state)
{
    char data[1000], expected[1100];
    struct sse_emitter *client;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    memset(data, 'd', sizeof(data));
    data[999] = '\0';
    publish(&stage, "a", data);
    client = join(&stage.workers[0], "a", id_of(&stage, 0), 500);
    snprintf(expected, sizeof(expected), "data: %s\nid: 1\n\nid: 1\n\n", data);
    assert_string_equal(pull(&stage, client), expected);
    sse_emitter_close(client);
    stage_close(&stage);
}

/* The library publishes an event to nobody if one of the receivers could never get it. */
static void an_event_that_a_live_queue_cannot_hold_is_a_gap(void **state)
{
    struct sse_emitter *small, *large;
    char data[1000];
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    small = join(&stage.workers[0], "a", NULL, 500);
    large = join(&stage.workers[0], "a", NULL, 0);
    (void)pull(&stage, small);
    (void)pull(&stage, large);
    memset(data, 'd', sizeof(data));
    data[999] = '\0';
    publish(&stage, "a", data);
    publish(&stage, "a", "next");
    drain(&stage.workers[0]);
    assert_string_equal(pull(&stage, small), "event: gap\ndata: 0\ndata: 2\nid: 1\n\ndata: next\nid: 2\n\n");
    assert_string_equal(pull(&stage, large), "event: gap\ndata: 0\ndata: 2\nid: 1\n\ndata: next\nid: 2\n\n");
    sse_emitter_close(small);
    sse_emitter_close(large);
    stage_close(&stage);
}

/* Counts the events in the text. The first must have this number. The number of the last is returned. */
static uint64_t last_number(const char *text, uint64_t first)
{
    unsigned long long number = 0;
    uint64_t next = first;

    for (; (text = strstr(text, "id: ")) != NULL; text += 4, next++) {
        assert_int_equal(sscanf(text, "id: %llu", &number), 1);
        if (number == next - 1)
            break;
        assert_int_equal(number, next);
    }
    return next - 1;
}

/* More than a megabyte arrives in parts. Events that are published at the same time are not mixed in. */
static void a_long_absence_is_made_up_in_parts(void **state)
{
    static char data[10001];
    uint64_t have = 1, parts = 0;
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    memset(data, 'd', sizeof(data) - 1);
    for (int i = 1; i <= 250; i++)
        publish(&stage, "a", data);
    while (have < 250) {
        struct sse_emitter *client = join(&stage.workers[0], "a", id_of(&stage, have), 0);
        struct sse_emitter_info info;
        uint64_t last;

        drain(&stage.workers[0]);
        last = last_number(pull(&stage, client), have + 1);
        assert_true(last > have);
        assert_int_equal(sse_emitter_get_info(client, &info, sizeof(info)), 0);
        assert_int_equal(info.state, last < 250 ? SSE_STATE_CLOSED : SSE_STATE_OPEN);
        if (last < 250)
            assert_non_null(strstr(stage.text, "\nretry: "));
        have = last;
        parts++;
        sse_emitter_close(client);
    }
    assert_int_equal(parts, 3);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_gets_every_event),
        cmocka_unit_test(types_and_keys_arrive),
        cmocka_unit_test(who_comes_back_elsewhere_misses_nothing),
        cmocka_unit_test(a_gap_is_told),
        cmocka_unit_test(an_unknown_id_is_a_gap),
        cmocka_unit_test(a_reader_that_is_overtaken_tells_everybody),
        cmocka_unit_test(a_drain_is_bounded),
        cmocka_unit_test(a_new_reader_begins_with_the_next_event),
        cmocka_unit_test(without_memory_a_drain_is_repeated),
        cmocka_unit_test(without_memory_nobody_joins),
        cmocka_unit_test(an_event_that_its_queue_cannot_hold_is_made_up),
        cmocka_unit_test(an_event_that_a_live_queue_cannot_hold_is_a_gap),
        cmocka_unit_test(a_long_absence_is_made_up_in_parts),
    };

    return cmocka_run_group_tests_name("ring reader", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The age of retained events, and the cost of a replay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/topics.h"
#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define OLD 1000
#define TOPIC_SIZE (sizeof(struct topic) + sizeof(struct topic_past))

static const struct sse_event five = {.data = {"five!", 5}};
static const char letters[3000];

static void use_age(void)
{
    use_registry((struct sse_registry_options){
        .history = {.events = 5000}, .history_age_ms = OLD, .id_prefix = sse_str("E")});
}

/* Events expire exactly at the age, in each topic, without any call that must be made in time. */
static void older_events_are_discarded(void **state)
{
    (void)state;
    use_age();
    (void)publish('b', "b1");
    fake_platform_advance_ms(&platform, 300);
    (void)publish('c', "c2");
    (void)publish(' ', "all3");
    fake_platform_advance_ms(&platform, 699);
    come_back(0, "b", sse_str(ID("0")), SSE_REPLAY_COMPLETE, EVENT("b1", "1") EVENT("all3", "3"));
    assert_int_equal(stats().history_events, 3);
    fake_platform_advance_ms(&platform, 1);
    come_back(0, "b", sse_str(ID("0")), SSE_REPLAY_GAP, EVENT("all3", "3"));
    come_back(0, "c", sse_str(ID("0")), SSE_REPLAY_COMPLETE, EVENT("c2", "2") EVENT("all3", "3"));
    assert_int_equal(stats().history_events, 2);
    fake_platform_advance_ms(&platform, 300);
    fake_client_free(&clients[0]);
    assert_int_equal(stats().history_events, 0);
    assert_int_equal(stats().topics, 0);
    come_back(0, "c", sse_str(ID("2")), SSE_REPLAY_GAP, "");
    come_back(0, "c", sse_str(ID("3")), SSE_REPLAY_COMPLETE, "");
}

/* Many expired events are discarded in steps, and none of them is replayed during that time. */
static void events_that_are_too_old_are_not_replayed(void **state)
{
    enum { EVENTS = 4000 };
    size_t before;

    (void)state;
    use_age();
    for (size_t i = 0; i < EVENTS; i++)
        (void)publish_event(
            "abcd" [i % 4], (struct sse_event) { .data = sse_str("old") });
    fake_platform_advance_ms(&platform, OLD);
    before = EVENTS;
    for (size_t steps = 0; before; steps++) {
        struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);

        assert_int_equal(join(client, "abcd", sse_str(ID("0"))), 0);
        assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
        assert_int_equal(client->replay.messages, steps);
        assert_true(stats().history_events < before + steps);
        before = stats().history_events - steps;
        (void)publish('a', "new");
    }
    come_back(0, "b", sse_str("E-0000000000000fa0"), SSE_REPLAY_COMPLETE, "");
}

static void publish_number(unsigned topic, unsigned number)
{
    char name[16], data[16];
    struct sse_event event = {.data = {.ptr = data}};

    (void)snprintf(name, sizeof(name), "topic %u", topic);
    event.data.len = (size_t)snprintf(data, sizeof(data), "%u", number);
    assert_int_equal(sse_registry_publish(registry, sse_str(name), &event, NULL), 0);
}

/* The work depends on the replayed events, not on the retained ones. */
static void a_short_replay_of_a_long_history_is_cheap(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);
    char id[SSE_ASSIGNED_ID_SIZE];
    size_t bytes, allocations;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 40000}, .id_prefix = sse_str("E")});
    client = prepare(0, SSE_OUTPUT_PULL);
    for (size_t i = 0; i < 20000; i++)
        (void)publish_event(
            "bc" [i % 2], (struct sse_event) { .data = sse_str("x") });
    (void)snprintf(id, sizeof(id), "E-%016x", 20000 - 3);
    bytes = atomic_load(&platform.bytes);
    allocations = atomic_load(&platform.allocations);
    assert_int_equal(join(client, "bc", sse_str(id)), 0);
    assert_int_equal(client->replay.messages, 3);
    assert_in_range(atomic_load(&platform.bytes) - bytes, 1, 2048);
    assert_in_range(atomic_load(&platform.allocations) - allocations, 1, 16);
}

/* Events of thousands of topics are merged into one order, with memory for each event once. */
static void many_topics_are_merged_into_one_order(void **state)
{
    enum { MANY = 4000, EVENTS = 8000 };
    struct sse_text *topics = calloc(2 * MANY, sizeof(*topics));
    char *names = calloc(MANY, 16);
    struct fake_client *client;
    const char *at;

    (void)state;
    assert_non_null(topics);
    assert_non_null(names);
    for (unsigned i = 0; i < MANY; i++) {
        topics[i].ptr = names + i * 16;
        topics[i].len = (size_t)snprintf(names + i * 16, 16, "topic %u", i);
        topics[2 * MANY - 1 - i] = topics[i];
    }
    use_registry((struct sse_registry_options){.history = {.events = 2 * EVENTS}, .id_prefix = sse_str("E")});
    for (unsigned i = 0; i < EVENTS; i++)
        publish_number((unsigned)(platform.platform.random(&platform) % MANY), i);
    client = prepare(0, SSE_OUTPUT_PULL);
    client->options.topics = topics;
    client->options.topic_count = 2 * MANY;
    client->options.last_event_id = sse_str(ID("0"));
    client->options.queue_messages = 10;
    assert_int_equal(fake_client_try_open(client), 0);
    assert_int_equal(client->replay.messages, EVENTS);
    assert_int_equal(fake_client_pull(client), 0);
    at = fake_client_events(client);
    for (unsigned i = 0; i < EVENTS; i++) {
        unsigned number;

        assert_int_equal(sscanf(at, "data: %u\n", &number), 1);
        assert_int_equal(number, i);
        at = strstr(at, "\n\n") + 2;
    }
    assert_string_equal(at, "");
    free(topics);
    free(names);
}

/* Many clients that reconnect at once share the messages of their replays. Fault 52. */
static void many_replays_share_their_messages(void **state)
{
    enum { STORM = 200, SIZE = sizeof(letters) };
    static struct fake_client storm[STORM];
    const size_t wire = SIZE + strlen(EVENT("", "0"));
    size_t before;

    (void)state;
    for (size_t i = 0; i < 100; i++)
        (void)publish_event('b', (struct sse_event){.data = {letters, SIZE}});
    before = atomic_load(&platform.bytes);
    for (size_t i = 0; i < STORM; i++) {
        fake_client_init(&storm[i], &platform, SSE_OUTPUT_PULL);
        storm[i].loop = &loop;
        storm[i].options.registry = registry;
        assert_int_equal(join(&storm[i], "b", sse_str(ID("0"))), 0);
    }
    assert_int_equal(stats().backlog_bytes, STORM * (100 * wire + 2));
    assert_in_range(atomic_load(&platform.bytes) - before, 0, STORM * 4096);
    for (size_t i = 0; i < STORM; i++) {
        assert_int_equal(fake_client_pull(&storm[i]), 0);
        assert_int_equal(storm[i].output.size, 100 * wire + 2);
        fake_client_free(&storm[i]);
    }
    assert_int_equal(stats().backlog_bytes, 0);
}

/* A key is not sent, but it needs as much memory as other text. */
static void keys_are_within_the_bounds(void **state)
{
    static const char key[SSE_KEY_SIZE_MAX] = "key";
    size_t before;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100000, .bytes = 100000}});
    before = atomic_load(&platform.bytes);
    for (size_t i = 0; i < 2000; i++) {
        const struct sse_event event = {.data = sse_str("x"), .key = {key, sizeof(key)}};

        assert_int_equal(sse_registry_publish(registry, sse_str("b"), &event, NULL), 0);
    }
    assert_in_range(stats().history_bytes, 90000, 100000);
    assert_in_range(atomic_load(&platform.bytes) - before, 80000, 120000);
}

/* The limit holds for any number of topics, any length of names, and any ids. */
static void the_bytes_cover_the_memory(void **state)
{
    static const struct {
        int name_size;
        unsigned topics;
        bool named;
    } rows[] = {{1, 1, false}, {1, 1, true}, {12, 100000, false}, {12, 100000, true}, {1000, 100000, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t before;

        use_registry((struct sse_registry_options){.history = {.events = 100000, .bytes = 1000000}});
        before = atomic_load(&platform.bytes);
        for (unsigned event = 0; event < 20000; event++) {
            char name[SSE_TOPIC_SIZE_MAX + 1], id[16];
            struct sse_event sent = {.data = {letters, event % 50}};

            (void)snprintf(name, sizeof(name), "%0*u", rows[i].name_size, event % rows[i].topics);
            (void)snprintf(id, sizeof(id), "n%u", event);
            if (rows[i].named)
                sent.id = sse_str(id);
            assert_int_equal(sse_registry_publish(registry, sse_str(name), &sent, NULL), 0);
        }
        assert_in_range(stats().history_bytes, 500000, 1000000);
        /* The tables of the topics grow by doubling. */
        assert_in_range(atomic_load(&platform.bytes) - before, 500000, 1400000);
    }
}

/* Four events fill the ring. The fifth fails at its nth allocation. Returns the cost of one event after that. */
static size_t bytes_after_failure(size_t nth, bool *failed)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str("name")};
    int error;

    use_registry((struct sse_registry_options){.history = {.events = 100}, .history_age_ms = 1000});
    for (size_t i = 0; i < 4; i++)
        (void)publish_event('b', five);
    fake_platform_advance_ms(&platform, 999);
    fake_platform_fail_at(&platform, nth, true);
    error = nth ? sse_registry_publish(registry, sse_str("b"), &event, NULL) : -ENOMEM;
    fake_platform_fail_at(&platform, 0, false);
    *failed = error == -ENOMEM;
    (void)publish_event('c', five);
    fake_platform_advance_ms(&platform, 1);
    return stats().history_bytes;
}

static void a_publish_that_fails_leaves_nothing_behind(void **state)
{
    size_t nth = 0, expected;
    bool failed;

    (void)state;
    expected = bytes_after_failure(0, &failed);
    while (failed && ++nth < 20) {
        size_t bytes = bytes_after_failure(nth, &failed);

        if (failed)
            assert_int_equal(bytes, expected);
    }
    assert_in_range(nth, 3, 10);
}

/* Topics whose names clients or users choose come and go without end. For what they have lost, some are
 * remembered. */
static void empty_topics_are_freed(void **state)
{
    enum { BYTES = 50000 };
    size_t before;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 50, .bytes = BYTES}});
    (void)publish_event('b', five);
    before = atomic_load(&platform.blocks);
    for (size_t i = 0; i < 5000; i++) {
        const struct sse_event event = {.data = {letters, i % 97 + 10}};
        char name[24];

        (void)snprintf(name, sizeof(name), "topic %zu", i);
        assert_int_equal(sse_registry_publish(registry, sse_str(name), &event, NULL), 0);
        assert_in_range(stats().topics, 1, 50);
    }
    assert_int_equal(stats().history_events, 50);
    assert_in_range(atomic_load(&platform.blocks), before, before + 3 * 50 + 4 + BYTES / TOPIC_SIZE);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(older_events_are_discarded),
        STAGE_TEST(events_that_are_too_old_are_not_replayed),
        STAGE_TEST(a_short_replay_of_a_long_history_is_cheap),
        STAGE_TEST(many_topics_are_merged_into_one_order),
        STAGE_TEST(many_replays_share_their_messages),
        STAGE_TEST(keys_are_within_the_bounds),
        STAGE_TEST(the_bytes_cover_the_memory),
        STAGE_TEST(a_publish_that_fails_leaves_nothing_behind),
        STAGE_TEST(empty_topics_are_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

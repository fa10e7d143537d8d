/* SPDX-License-Identifier: MIT */
/* Compares what a history retains with a plain model, and its limits with the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/topics.h"
#include "registry_stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC_SIZE (sizeof(struct topic) + sizeof(struct topic_past))
#define TOPICS 6
#define KEPT_MAX 600
#define LETTERS_MAX 3000
/* "data: ", "id: E-" with 16 digits, and three line ends. */
#define WIRE_BESIDE_DATA (6 + 1 + 22 + 1 + 1)

static char letters[LETTERS_MAX];

static void use_history(struct sse_registry_options options)
{
    memset(letters, 'x', sizeof(letters));
    options.id_prefix = sse_str("E");
    use_registry(options);
}

/* Topic 0 is everyone. */
static void publish_size(size_t topic, size_t size)
{
    (void)publish_event(topic ? (char)('a' + topic) : ' ', (struct sse_event){.data = {letters, size}});
}

/* Events that are too old are discarded in steps. */
static struct sse_registry_stats settled_stats(void)
{
    for (size_t i = 0; i < 4; i++)
        (void)stats();
    return stats();
}

static void format_id(char id[SSE_ASSIGNED_ID_SIZE], uint64_t sequence)
{
    (void)snprintf(id, SSE_ASSIGNED_ID_SIZE, "E-%016" PRIx64, sequence);
}

/* A new client of the topic that reconnects with this number. */
static struct fake_client *come_back_to(size_t topic, uint64_t sequence)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    const char name[] = {topic ? (char)('a' + topic) : '\0', '\0'};
    char id[SSE_ASSIGNED_ID_SIZE];

    format_id(id, sequence);
    assert_int_equal(join(client, name, sse_str(id)), 0);
    (void)fake_loop_settle(&loop);
    return client;
}

/* A plain model of the history. */
struct entry {
    size_t topic;
    size_t cost;
    uint64_t sequence;
    uint64_t time;
};

struct model {
    struct entry entries[KEPT_MAX];
    size_t count;
    size_t events_max, bytes_max, topic_events_max, topic_bytes_max;
    uint64_t age;
    uint64_t lost[TOPICS];
    uint64_t lost_by_vanished; /* the topics without events; those that are forgotten cannot be told apart */
    uint64_t sequence;
    size_t overhead;
    size_t capacity[TOPICS]; /* of its ring */
    bool tied;               /* two topics had the same number of bytes when one had to discard an event */
};

static size_t bytes_of(const struct model *model, size_t topic)
{
    size_t bytes = 0;

    for (size_t i = 0; i < model->count; i++)
        bytes += topic == TOPICS || model->entries[i].topic == topic ? model->entries[i].cost : 0;
    return bytes;
}

static size_t events_of(const struct model *model, size_t topic)
{
    size_t events = 0;

    for (size_t i = 0; i < model->count; i++)
        events += topic == TOPICS || model->entries[i].topic == topic;
    return events;
}

/* A topic with events also costs its name and the rest of its ring. */
static size_t bytes_in_all(const struct model *model)
{
    size_t bytes = bytes_of(model, TOPICS);

    for (size_t topic = 0; topic < TOPICS; topic++) {
        size_t events = events_of(model, topic);

        if (events)
            bytes +=
                TOPIC_SIZE + (topic > 0) + (model->capacity[topic] - events) * sizeof(struct history_entry);
    }
    return bytes;
}

static void drop_oldest_of(struct model *model, size_t topic)
{
    size_t i = 0;

    while (model->entries[i].topic != topic)
        i++;
    model->lost[topic] = model->entries[i].sequence;
    model->count--;
    memmove(&model->entries[i], &model->entries[i + 1], (model->count - i) * sizeof(model->entries[0]));
    if (!events_of(model, topic))
        model->capacity[topic] = 0;
    if (topic && !events_of(model, topic) && model->lost[topic] > model->lost_by_vanished)
        model->lost_by_vanished = model->lost[topic];
}

static size_t largest_topic(struct model *model)
{
    size_t largest = 0;

    for (size_t topic = 1; topic < TOPICS; topic++) {
        if (bytes_of(model, topic) > bytes_of(model, largest))
            largest = topic;
    }
    for (size_t topic = 0; topic < TOPICS; topic++)
        model->tied |= topic != largest && bytes_of(model, topic) == bytes_of(model, largest);
    return largest;
}

static void model_publish(struct model *model, size_t topic, size_t size)
{
    assert_true(model->count < KEPT_MAX);
    if (events_of(model, topic) == model->capacity[topic])
        model->capacity[topic] = model->capacity[topic] ? 2 * model->capacity[topic] : 4;
    model->entries[model->count++] = (struct entry){.topic = topic,
                                                    .cost = model->overhead + WIRE_BESIDE_DATA + size,
                                                    .sequence = ++model->sequence,
                                                    .time = atomic_load(&platform.now)};
    while (events_of(model, topic) > model->topic_events_max ||
           bytes_of(model, topic) > model->topic_bytes_max)
        drop_oldest_of(model, topic);
    while (model->count > model->events_max || bytes_in_all(model) > model->bytes_max)
        drop_oldest_of(model, largest_topic(model));
}

/* A size near this one at which it is certain which topic discards its oldest event. */
static size_t certain_size(const struct model *model, size_t topic, size_t size)
{
    static struct model trial;

    do {
        trial = *model;
        model_publish(&trial, topic, size++);
    } while (trial.tied);
    return size - 1;
}

static void model_expire(struct model *model)
{
    while (model->count && model->age && model->entries[0].time + model->age <= atomic_load(&platform.now))
        drop_oldest_of(model, model->entries[0].topic);
}

/* A client that reconnects from this place receives exactly what the model retains, and is notified of a gap if
 * something is missing. */
static void check_replay(const struct model *model, size_t topic, uint64_t from)
{
    struct fake_client *client = come_back_to(topic, from);
    const char *at = fake_client_events(client);
    bool has_room = model->bytes_max > KEPT_MAX * LETTERS_MAX;
    uint64_t lost = model->lost[topic] > model->lost[0] ? model->lost[topic] : model->lost[0];
    size_t messages = 0;

    for (size_t i = 0; i < model->count; i++) {
        const struct entry *entry = &model->entries[i];
        char id[SSE_ASSIGNED_ID_SIZE];

        if ((entry->topic && entry->topic != topic) || entry->sequence <= from)
            continue;
        format_id(id, entry->sequence);
        messages++;
        at = strstr(at, "\nid: ");
        assert_non_null(at);
        at += strlen("\nid: ");
        assert_memory_equal(at, id, strlen(id));
    }
    assert_null(strstr(at, "\nid: "));
    assert_int_equal(client->replay.messages, messages);
    /* A topic that was forgotten and made again may report a gap without need, but never miss one. */
    if (from < lost)
        assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
    else if (has_room || from >= model->lost_by_vanished)
        assert_int_equal(client->replay.outcome, SSE_REPLAY_COMPLETE);
    fake_client_free(client);
}

static void check(const struct model *model)
{
    struct sse_registry_stats found = settled_stats();
    size_t topics = 0;

    for (size_t topic = 1; topic < TOPICS; topic++)
        topics += events_of(model, topic) > 0;
    assert_int_equal(found.history_events, model->count);
    assert_int_equal(found.history_bytes, bytes_in_all(model));
    assert_int_equal(found.topics, topics);
    assert_true(found.history_events <= model->events_max);
    assert_true(found.history_bytes <= model->bytes_max);
}

/* The overhead of an event beside its text. */
static size_t overhead(void)
{
    use_history((struct sse_registry_options){.history = {.events = 1}});
    publish_size(1, 10);
    return stats().history_bytes - WIRE_BESIDE_DATA - 10 - TOPIC_SIZE - 1 - 3 * sizeof(struct history_entry);
}

static void run_model(struct model *model, size_t operations)
{
    use_history((struct sse_registry_options){
        .history = {.events = model->events_max, .bytes = model->bytes_max},
        .topic_history = {.events = model->topic_events_max, .bytes = model->topic_bytes_max},
        .history_age_ms = (int64_t)(model->age / 1000000),
    });
    for (size_t i = 0; i < operations; i++) {
        uint64_t random = platform.platform.random(&platform);
        size_t topic = random % 16 < TOPICS ? random % 16 : 1;
        size_t size = certain_size(model, topic, (size_t)(random >> 8) % (LETTERS_MAX - 10));
        uint64_t back = (random >> 40) % (model->count + 3);

        publish_size(topic, size);
        model_publish(model, topic, size);
        check(model);
        if (i % 7 == 0) {
            fake_platform_advance_ms(&platform, (random >> 24) % 200);
            model_expire(model);
            check(model);
        }
        if (i % 5 == 0)
            check_replay(model, (size_t)(random >> 32) % TOPICS,
                         back < model->sequence ? model->sequence - back : 0);
    }
    assert_true(model->sequence > model->count + operations / 4);
}

static void bounds_match_a_model(void **state)
{
    static struct model model;
    const size_t limits[][5] = {
        /* events, bytes, events and bytes of a topic, age in milliseconds */
        {40, SIZE_MAX / 2, 40, SIZE_MAX / 2, 0},
        {KEPT_MAX - 1, 30000, KEPT_MAX - 1, 30000, 0},
        {KEPT_MAX - 1, SIZE_MAX / 2, 9, SIZE_MAX / 2, 0},
        {KEPT_MAX - 1, SIZE_MAX / 2, KEPT_MAX - 1, 8000, 0},
        {KEPT_MAX - 1, SIZE_MAX / 2, KEPT_MAX - 1, SIZE_MAX / 2, 1500},
        {50, 60000, 20, 20000, 3000},
        {1, 5000, 1, 2000, 100},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        model = (struct model){
            .events_max = limits[i][0],
            .bytes_max = limits[i][1],
            .topic_events_max = limits[i][2],
            .topic_bytes_max = limits[i][3],
            .age = limits[i][4] * 1000000,
            .overhead = overhead(),
        };
        run_model(&model, 500);
    }
}

/* However busy one topic is, the other keeps its events. */
static void a_busy_topic_cannot_evict_a_quiet_one(void **state)
{
    const struct sse_history_limits limits[] = {{.events = 10}, {.events = 1000, .bytes = 5000}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        struct fake_client *client;

        use_history((struct sse_registry_options){.history = limits[i]});
        publish_size(2, 20);
        publish_size(0, 20);
        for (size_t j = 0; j < 1000; j++)
            publish_size(1, 20);
        client = come_back_to(2, 0);
        assert_int_equal(client->replay.outcome, SSE_REPLAY_COMPLETE);
        assert_non_null(strstr(fake_client_events(client), "id: " ID("1") "\n"));
        assert_non_null(strstr(fake_client_events(client), "id: " ID("2") "\n"));
        assert_int_equal(come_back_to(1, 3)->replay.outcome, SSE_REPLAY_GAP);
    }
}

/* Not even one event fits. Nothing is retained, ids continue, and every reconnecting client is notified of a
 * gap. */
static void a_history_too_small_for_an_event_keeps_none(void **state)
{
    const struct sse_history_limits all = {.events = 5, .bytes = 1}, topic = {.events = 5, .bytes = 1};
    const struct sse_registry_options options[] = {{.history = all},
                                                   {.history = {.events = 5}, .topic_history = topic}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        struct sse_delivery delivery;
        struct fake_client *client;

        use_history(options[i]);
        publish_size(1, 10);
        publish_size(1, 10);
        publish_size(0, 10);
        assert_int_equal(stats().history_events, 0);
        assert_int_equal(stats().history_bytes, 0);
        assert_int_equal(stats().topics, 0);
        client = come_back_to(1, 1);
        assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
        delivery = publish('b', "live");
        expect_delivery(delivery, 1, 0, 0);
        assert_string_equal(delivery.id, ID("4"));
        assert_string_equal(fake_client_events(client), EVENT("live", "4"));
        assert_int_equal(come_back_to(1, 4)->replay.outcome, SSE_REPLAY_COMPLETE);
    }
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(bounds_match_a_model),
        STAGE_TEST(a_busy_topic_cannot_evict_a_quiet_one),
        STAGE_TEST(a_history_too_small_for_an_event_keeps_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

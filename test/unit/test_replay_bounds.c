/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"
#include "fanout/topics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TOPIC_SIZE (sizeof(struct topic) + sizeof(struct topic_past))
#define TOPICS 6
#define KEPT_MAX 600
#define LETTERS_MAX 3000
/* "data: ", "id: E-" with 16 digits, and three line ends. */
#define WIRE_BESIDE_DATA (6 + 1 + 22 + 1 + 1)

static struct fake_host host;
static struct sse_registry *registry;
static char letters[LETTERS_MAX];
static unsigned wakes;

static void on_wake(struct sse_registry *source, void *user)
{
    (void)source, (void)user;
    wakes++;
}

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(letters, 'x', sizeof(letters));
    registry = NULL;
    wakes = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static void use_registry(struct sse_registry_options options)
{
    sse_registry_unref(registry);
    registry = NULL;
    options.size = sizeof(options);
    options.host = &host.host;
    options.epoch = sse_str("E");
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result = {.size = sizeof(result)};

    assert_int_equal(sse_registry_stats(registry, &result), 0);
    return result;
}

/* Topic 0 is that of the broadcasts. */
static void publish(size_t topic, size_t size)
{
    const char name[] = {(char)('a' + topic)};
    const struct sse_event event = {.data = {letters, size}};

    if (topic)
        assert_int_equal(sse_registry_publish(registry, (struct sse_str){name, 1}, &event, NULL), 0);
    else
        assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
}

static void format_id(char id[SSE_ASSIGNED_ID_SIZE], uint64_t sequence)
{
    (void)snprintf(id, SSE_ASSIGNED_ID_SIZE, "E-%016" PRIx64, sequence);
}

/* What a new client of the topic gets that comes back with this sequence. */
static struct sse_replay come_back(struct fake_client *client, size_t topic, uint64_t sequence)
{
    struct sse_replay replay = {.size = sizeof(replay)};
    const char name[] = {(char)('a' + topic)};
    const struct sse_str topics[] = {{name, 1}};
    char id[SSE_ASSIGNED_ID_SIZE];

    format_id(id, sequence);
    fake_client_new(client, &host, SSE_DRAIN_CALLBACK);
    assert_int_equal(
        sse_registry_subscribe(registry, client->emitter, topics, topic ? 1 : 0, sse_str(id), &replay), 0);
    return replay;
}

/* What the history should hold, in the plainest form. */
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
    uint64_t lost_by_vanished; /* a topic that is no more; others cannot be told from it */
    uint64_t sequence;
    size_t overhead;
    size_t capacity[TOPICS]; /* of its ring */
    bool tied;               /* two topics held as many bytes when one had to give */
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

/* A topic that holds something costs its name and the rest of its ring as well. */
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
                                                    .time = atomic_load(&host.now)};
    while (events_of(model, topic) > model->topic_events_max ||
           bytes_of(model, topic) > model->topic_bytes_max)
        drop_oldest_of(model, topic);
    while (model->count > model->events_max || bytes_in_all(model) > model->bytes_max)
        drop_oldest_of(model, largest_topic(model));
}

/* A size near to this one at which it is certain which topic gives its oldest event. */
static size_t certain_size(const struct model *model, size_t topic, size_t size)
{
    static struct model trial;

    do {
        trial = *model;
        model_publish(&trial, topic, size++);
    } while (trial.tied);
    return size - 1;
}

static void model_tick(struct model *model)
{
    while (model->count && model->age && model->entries[0].time + model->age <= atomic_load(&host.now))
        drop_oldest_of(model, model->entries[0].topic);
}

/* A client of the topic that comes back from this place gets what the model holds, no more, no less,
 * and hears of a gap when something is missing. */
static void check_replay(const struct model *model, size_t topic, uint64_t from)
{
    struct fake_client client;
    struct sse_replay replay = come_back(&client, topic, from);
    const char *at = fake_client_text(&client);
    bool vanished = topic && !events_of(model, topic);
    uint64_t lost = vanished ? model->lost_by_vanished : model->lost[topic];
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
    assert_int_equal(replay.messages, messages);
    /* A topic that vanished and came again may say so without need, never the other way round. */
    if (from < lost || from < model->lost[0])
        assert_int_equal(replay.outcome, SSE_REPLAY_GAP);
    else if (from >= model->lost_by_vanished)
        assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
    fake_client_free(&client);
}

static void check(const struct model *model)
{
    size_t topics = 0;

    for (size_t topic = 1; topic < TOPICS; topic++)
        topics += events_of(model, topic) > 0;
    assert_int_equal(stats().history_events, model->count);
    assert_int_equal(stats().history_bytes, bytes_in_all(model));
    assert_int_equal(stats().topics, topics);
    assert_true(stats().history_events <= model->events_max);
    assert_true(stats().history_bytes <= model->bytes_max);
}

/* What an event costs beside its text. */
static size_t overhead(void)
{
    use_registry((struct sse_registry_options){.history = {.events = 1}});
    publish(1, 10);
    return stats().history_bytes - WIRE_BESIDE_DATA - 10 - TOPIC_SIZE - 1 - 3 * sizeof(struct history_entry);
}

static void run_model(struct model *model, size_t operations)
{
    use_registry((struct sse_registry_options){
        .history = {.events = model->events_max, .bytes = model->bytes_max},
        .topic_history = {.events = model->topic_events_max, .bytes = model->topic_bytes_max},
        .history_age_ms = (int64_t)(model->age / 1000000),
    });
    for (size_t i = 0; i < operations; i++) {
        uint64_t random = host.host.random(host.host.user);
        size_t topic = random % 16 < TOPICS ? random % 16 : 1;
        size_t size = certain_size(model, topic, (random >> 8) % (LETTERS_MAX - 10));
        uint64_t back = (random >> 40) % (model->count + 3);

        publish(topic, size);
        model_publish(model, topic, size);
        check(model);
        if (i % 7 == 0) {
            fake_host_advance_ms(&host, (random >> 24) % 200);
            model_tick(model);
            assert_int_equal(sse_registry_tick(registry), 0);
            check(model);
        }
        if (i % 5 == 0)
            check_replay(model, (random >> 32) % TOPICS, back < model->sequence ? model->sequence - back : 0);
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
    for (size_t i = 0; i < COUNT(limits); i++) {
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

/* However busy the one, the other keeps what it has. */
static void a_busy_topic_cannot_evict_a_quiet_one(void **state)
{
    const struct sse_history_limits limits[] = {{.events = 10}, {.events = 1000, .bytes = 5000}};

    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct fake_client client;

        use_registry((struct sse_registry_options){.history = limits[i]});
        publish(2, 20);
        publish(0, 20);
        for (size_t j = 0; j < 1000; j++)
            publish(1, 20);
        assert_int_equal(come_back(&client, 2, 0).outcome, SSE_REPLAY_COMPLETE);
        assert_non_null(strstr(fake_client_text(&client), "id: E-0000000000000001\n"));
        assert_non_null(strstr(fake_client_text(&client), "id: E-0000000000000002\n"));
        fake_client_free(&client);
        assert_int_equal(come_back(&client, 1, 3).outcome, SSE_REPLAY_GAP);
        fake_client_free(&client);
    }
}

/* Less than one event fits: nothing is kept, ids go on, and whoever comes back hears of a gap. */
static void a_history_too_small_for_an_event_keeps_none(void **state)
{
    const struct sse_history_limits all = {.events = 5, .bytes = 1}, topic = {.events = 5, .bytes = 1};
    const struct sse_registry_options options[] = {{.history = all},
                                                   {.history = {.events = 5}, .topic_history = topic}};

    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        struct sse_delivery delivery = {.size = sizeof(delivery)};
        struct fake_client client;

        use_registry(options[i]);
        publish(1, 10);
        publish(1, 10);
        publish(0, 10);
        assert_int_equal(stats().history_events, 0);
        assert_int_equal(stats().history_bytes, 0);
        assert_int_equal(stats().topics, 0);
        assert_int_equal(come_back(&client, 1, 1).outcome, SSE_REPLAY_GAP);
        assert_int_equal(sse_registry_publish(registry, sse_str("b"),
                                              &(struct sse_event){.data = sse_str("live")}, &delivery),
                         0);
        assert_int_equal(delivery.written, 1);
        assert_string_equal(delivery.id, "E-0000000000000004");
        assert_string_equal(fake_client_text(&client), "data: live\nid: E-0000000000000004\n\n");
        fake_client_free(&client);
        assert_int_equal(come_back(&client, 1, 4).outcome, SSE_REPLAY_COMPLETE);
        fake_client_free(&client);
    }
}

/* A key is no text on the wire, but it costs as much memory. */
static void keys_are_within_the_bounds(void **state)
{
    static const char key[SSE_KEY_SIZE_MAX] = "key";
    size_t before;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100000, .bytes = 100000}});
    before = atomic_load(&host.bytes);
    for (size_t i = 0; i < 2000; i++) {
        const struct sse_event event = {.data = sse_str("x"), .key = {key, sizeof(key)}};

        assert_int_equal(sse_registry_publish(registry, sse_str("b"), &event, NULL), 0);
    }
    assert_in_range(stats().history_bytes, 90000, 100000);
    assert_in_range(atomic_load(&host.bytes) - before, 80000, 120000);
}

/* However many topics there are, however long their names, and whoever gives the ids. */
static void the_bytes_are_those_of_the_memory(void **state)
{
    static const struct {
        int name_size;
        unsigned topics;
        bool named;
    } rows[] = {{1, 1, false}, {1, 1, true}, {12, 100000, false}, {12, 100000, true}, {1000, 100000, true}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t before;

        use_registry((struct sse_registry_options){.history = {.events = 100000, .bytes = 1000000}});
        before = atomic_load(&host.bytes);
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
        /* The tables that find topics and order them grow by doubling. */
        assert_in_range(atomic_load(&host.bytes) - before, 500000, 1400000);
    }
}

/* Four events fill the ring; the fifth fails at its nth allocation. Returns what one event costs then. */
static size_t bytes_after_failure(size_t nth, bool *failed)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str("name")};
    int error;

    use_registry((struct sse_registry_options){.history = {.events = 100}, .history_age_ms = 1000});
    for (size_t i = 0; i < 4; i++)
        publish(1, 5);
    fake_host_advance_ms(&host, 999);
    fake_host_fail_at(&host, nth, true);
    error = nth ? sse_registry_publish(registry, sse_str("b"), &event, NULL) : -ENOMEM;
    fake_host_fail_at(&host, 0, false);
    *failed = error == -ENOMEM;
    publish(2, 5);
    fake_host_advance_ms(&host, 1);
    assert_int_equal(sse_registry_tick(registry), 0);
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

/* At the age, not before; for each topic; in the order of time. */
static void older_events_are_forgotten(void **state)
{
    struct fake_client client;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100}, .history_age_ms = 1000});
    assert_int_equal(sse_registry_next_timeout(registry), -1);
    publish(1, 5);
    fake_host_advance_ms(&host, 300);
    publish(2, 5);
    publish(0, 5);
    fake_host_advance_ms(&host, 699);
    assert_int_equal(sse_registry_next_timeout(registry), 1);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(stats().history_events, 3);
    fake_host_advance_ms(&host, 1);
    assert_int_equal(sse_registry_next_timeout(registry), 0);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(stats().history_events, 2);
    assert_int_equal(come_back(&client, 1, 0).outcome, SSE_REPLAY_GAP);
    fake_client_free(&client);
    assert_int_equal(come_back(&client, 2, 0).outcome, SSE_REPLAY_COMPLETE);
    fake_client_free(&client);
    fake_host_advance_ms(&host, 300);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(stats().history_events, 0);
    assert_int_equal(stats().topics, 0);
    assert_int_equal(come_back(&client, 2, 2).outcome, SSE_REPLAY_GAP);
    fake_client_free(&client);
    assert_int_equal(come_back(&client, 2, 3).outcome, SSE_REPLAY_COMPLETE);
    fake_client_free(&client);
    assert_int_equal(sse_registry_next_timeout(registry), -1);
}

/* A host that ticks late does not replay what is too old. */
static void what_is_too_old_is_not_replayed(void **state)
{
    struct fake_client client;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100}, .history_age_ms = 1000});
    publish(1, 5);
    fake_host_advance_ms(&host, 999);
    publish(1, 5);
    assert_int_equal(come_back(&client, 1, 0).messages, 2);
    fake_client_free(&client);
    fake_host_advance_ms(&host, 1);
    assert_int_equal(come_back(&client, 1, 0).outcome, SSE_REPLAY_GAP);
    fake_client_free(&client);
    assert_int_equal(come_back(&client, 1, 1).messages, 1);
    fake_client_free(&client);
    fake_host_advance_ms(&host, 5000);
    publish(1, 5);
    assert_int_equal(stats().history_events, 1);
}

/* A loop that sleeps without limit would keep the first event for ever. */
static void the_host_is_woken_for_the_first_event_to_forget(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .history_age_ms = 1000, .on_wake = on_wake});
    assert_int_equal(sse_registry_next_timeout(registry), -1);
    publish(1, 5);
    assert_int_equal(wakes, 1);
    assert_int_equal(sse_registry_next_timeout(registry), 1000);
    fake_host_advance_ms(&host, 500);
    publish(1, 5);
    publish(2, 5);
    assert_int_equal(wakes, 1);
    fake_host_advance_ms(&host, 600);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(sse_registry_next_timeout(registry), 400);
    fake_host_advance_ms(&host, 400);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(sse_registry_next_timeout(registry), -1);
    publish(0, 5);
    assert_int_equal(wakes, 2);
}

static void give_the_registry_back(struct sse_registry *source, void *user)
{
    on_wake(source, user);
    sse_registry_unref(registry);
    registry = NULL;
}

/* The caller's reference to the registry may be gone before the call returns. */
static void waking_may_give_the_registry_back(void **state)
{
    struct fake_client client;

    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .history_age_ms = 1000, .on_wake = give_the_registry_back});
    publish(1, 5);
    assert_int_equal(wakes, 1);
    assert_null(registry);
    use_registry((struct sse_registry_options){.on_wake = on_wake});
    fake_client_new(&client, &host, SSE_DRAIN_CALLBACK);
    client.sink.room = 0;
    assert_int_equal(sse_registry_add(registry, client.emitter), 0);
    publish(0, 5);
    assert_int_equal(wakes, 2);
    assert_int_equal(sse_registry_set_wake(registry, give_the_registry_back, NULL), 0);
    assert_int_equal(wakes, 3);
    assert_null(registry);
    fake_client_free(&client);
}

/* Topics that clients or users name come and go without end. */
static void topics_that_hold_nothing_are_gone(void **state)
{
    size_t before;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 50}});
    publish(1, 5);
    before = atomic_load(&host.blocks);
    for (size_t i = 0; i < 5000; i++) {
        char name[24];

        (void)snprintf(name, sizeof(name), "topic %zu", i);
        assert_int_equal(sse_registry_publish(registry, sse_str(name),
                                              &(struct sse_event){.data = {letters, i % 97 + 10}}, NULL),
                         0);
        assert_in_range(stats().topics, 1, 50);
    }
    assert_int_equal(stats().history_events, 50);
    assert_in_range(atomic_load(&host.blocks), before, before + 3 * 50 + 4);
}

/* The work depends on what is replayed, not on what is held. */
static void a_short_replay_of_a_long_history_is_cheap(void **state)
{
    const struct sse_str topics[] = {sse_str("b"), sse_str("c")};
    struct sse_replay replay = {.size = sizeof(replay)};
    struct fake_client client;
    char id[SSE_ASSIGNED_ID_SIZE];
    size_t bytes, allocations;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 40000}});
    for (size_t i = 0; i < 20000; i++)
        publish(1 + i % 2, 1);
    format_id(id, 20000 - 3);
    fake_client_init(&client, &host, SSE_DRAIN_PULL);
    fake_client_open(&client);
    bytes = atomic_load(&host.bytes);
    allocations = atomic_load(&host.allocations);
    assert_int_equal(sse_registry_subscribe(registry, client.emitter, topics, 2, sse_str(id), &replay), 0);
    assert_int_equal(replay.messages, 3);
    assert_in_range(atomic_load(&host.bytes) - bytes, 1, 2048);
    assert_in_range(atomic_load(&host.allocations) - allocations, 1, 16);
    fake_client_free(&client);
}

/* A storm of clients that come back shares the messages that it is sent. */
static void many_replays_share_their_messages(void **state)
{
    static struct fake_client clients[200];
    size_t before;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100}});
    for (size_t i = 0; i < 100; i++)
        publish(1, LETTERS_MAX);
    before = atomic_load(&host.bytes);
    for (size_t i = 0; i < COUNT(clients); i++) {
        const struct sse_str topic = sse_str("b");

        fake_client_new(&clients[i], &host, SSE_DRAIN_PULL);
        assert_int_equal(sse_registry_subscribe(registry, clients[i].emitter, &topic, 1,
                                                sse_str("E-0000000000000000"), NULL),
                         0);
    }
    assert_int_equal(stats().backlog_bytes, COUNT(clients) * 100 * (LETTERS_MAX + WIRE_BESIDE_DATA));
    assert_in_range(atomic_load(&host.bytes) - before, 0, COUNT(clients) * 4096);
    for (size_t i = 0; i < COUNT(clients); i++) {
        assert_int_equal(fake_client_pull(&clients[i]), 0);
        assert_int_equal(clients[i].sink.size, 100 * (LETTERS_MAX + WIRE_BESIDE_DATA));
        fake_client_free(&clients[i]);
    }
    assert_int_equal(stats().backlog_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bounds_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_topic_cannot_evict_a_quiet_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_history_too_small_for_an_event_keeps_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_within_the_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_bytes_are_those_of_the_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_publish_that_fails_leaves_nothing_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_old_is_not_replayed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(older_events_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_host_is_woken_for_the_first_event_to_forget, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waking_may_give_the_registry_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(topics_that_hold_nothing_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_short_replay_of_a_long_history_is_cheap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_replays_share_their_messages, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

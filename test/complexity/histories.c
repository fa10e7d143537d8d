/* SPDX-License-Identifier: MIT */
/* What retained events cost: a publish, a replay, the end of many at once. */
#include "scene.h"

#include <string.h>

static void open_history(size_t events, int64_t age_ms)
{
    scene_open(&(struct sse_registry_options){.history = {.events = events, .bytes = (size_t)1 << 30},
                                              .history_age_ms = age_ms,
                                              .id_prefix = sse_str("E")});
}

/* The most expensive of all publishes while the history grows. */
static uint64_t publish_as_the_history_grows(size_t n)
{
    uint64_t worst;

    open_history(n, 0);
    (void)scene_publish_many(sse_str("topic"), n, &worst);
    scene_close();
    return worst;
}

static uint64_t publish_into_a_full_history(size_t n)
{
    uint64_t worst;

    open_history(n, 0);
    (void)scene_publish_many(sse_str("topic"), n, NULL);
    (void)scene_publish_many(sse_str("topic"), n, &worst);
    scene_close();
    return worst;
}

/* Publishers' ids, each of them in two topics. */
static uint64_t with_ids(size_t n, enum names kind)
{
    const struct sse_text *names;
    uint64_t worst = 0;

    open_history(2 * n, 0);
    names = scene_names(kind, n);
    for (size_t i = 0; i < 6 * n; i++) {
        const struct sse_event event = {.data = sse_str("x"), .id = names[i / 2 % n]};
        uint64_t steps = scene_publish_event(sse_str(i % 2 ? "one" : "two"), &event);

        worst = i > 3 * n && steps > worst ? steps : worst;
    }
    scene_close();
    return worst;
}

/* A chain of a hash table may be a little longer than another one. The mean of many would hide an outlier, so this
 * takes the worst of a few hundred. */
static uint64_t publish_ids(size_t n)
{
    return with_ids(n, NAMES_APART);
}

static uint64_t publish_ids_that_would_collide(size_t n)
{
    return with_ids(n, NAMES_COLLIDING);
}

static uint64_t publish_one_id(size_t n)
{
    return with_ids(n, NAMES_THE_SAME);
}

/* n topics with one retained event each. The fullest and the oldest must be found. */
static uint64_t publish_to_retained_topics(size_t n)
{
    const struct sse_text *names;
    uint64_t steps = 0;

    open_history(n, 0);
    names = scene_names(NAMES_APART, 2 * n);
    for (size_t i = 0; i < 2 * n; i++) {
        uint64_t one = scene_publish(names[i * 617 % (2 * n)], "an event");

        steps += i < n ? 0 : one;
    }
    scene_close();
    return steps / n;
}

static uint64_t expire(size_t n, bool topics)
{
    const struct sse_text *names;
    uint64_t worst;

    open_history(2 * n, 1000);
    names = scene_names(NAMES_APART, n);
    for (size_t i = 0; i < n; i++)
        (void)scene_publish(topics ? names[i] : sse_str("topic"), "an event");
    steps_advance_ms(2000);
    (void)scene_publish_many(sse_str("another"), n / 256 + 2, &worst);
    scene_close();
    return worst;
}

static uint64_t publish_as_a_topic_expires(size_t n)
{
    return expire(n, false);
}

static uint64_t publish_as_all_topics_expire(size_t n)
{
    return expire(n, true);
}

static uint64_t statistics_as_all_expire(size_t n)
{
    struct sse_registry_stats stats;
    uint64_t before;

    open_history(2 * n, 1000);
    (void)scene_publish_many(sse_str("topic"), n, NULL);
    steps_advance_ms(2000);
    before = steps_count();
    scene_check(!sse_registry_get_stats(scene.registry, &stats, sizeof(stats)), "no statistics");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* Small events make room for a large one. */
static uint64_t publish_one_for_many(size_t n)
{
    static char data[100000];
    uint64_t steps;

    memset(data, 'x', sizeof(data));
    scene_open(&(struct sse_registry_options){.history = {.events = n, .bytes = n * 200}});
    (void)scene_publish_many(sse_str("topic"), n, NULL);
    steps = scene_publish_event(sse_str("topic"),
                                &(struct sse_event){.data = {.ptr = data, .len = sizeof(data)}});
    scene_close();
    return steps;
}

/* The steps of a new emitter of a client that reconnects. */
static uint64_t come_back(const struct sse_text *topics, size_t count, struct sse_text id,
                          enum sse_replay_outcome outcome, size_t messages)
{
    struct sse_emitter_options options = scene_options();
    struct sse_emitter *emitter;
    struct sse_replay replay;
    uint64_t before;

    scene.full = true;
    options.topics = topics;
    options.topic_count = count;
    options.last_event_id = id;
    before = steps_count();
    scene_check(!sse_emitter_new(&emitter, &options, &replay), "no emitter");
    before = steps_count() - before;
    scene_check(replay.outcome == outcome && replay.messages == messages, "another replay");
    sse_emitter_close(emitter);
    return before;
}

static uint64_t replay_of_one_topic(size_t n)
{
    const struct sse_text topic = sse_str("topic");
    uint64_t steps;

    open_history(n, 0);
    (void)scene_publish_many(topic, n, NULL);
    steps = come_back(&topic, 1, scene_id(0), SSE_REPLAY_COMPLETE, n);
    scene_close();
    return steps;
}

static uint64_t subscribe_and_replay(size_t n)
{
    const struct sse_text topic = sse_str("topic");
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    struct sse_replay replay;
    uint64_t before;

    open_history(n, 0);
    options = scene_options();
    emitter = scene_add(&options, NULL, 0);
    (void)scene_publish_many(topic, n, NULL);
    before = steps_count();
    scene_check(!sse_registry_subscribe(scene.registry, emitter, &topic, 1, scene_id(0), &replay) &&
                    replay.messages == n,
                "another replay");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* The last event of each topic comes just before the first of the next one, or the topics alternate. */
static uint64_t replay_of_topics(size_t n, bool by_turns)
{
    const struct sse_text *names;
    uint64_t steps;

    open_history(8 * n, 0);
    names = scene_names(NAMES_APART, n);
    for (size_t i = 0; i < 4 * n; i++)
        (void)scene_publish(names[by_turns ? i * 617 % n : i / 4], "an event");
    steps = come_back(names, n, scene_id(0), SSE_REPLAY_COMPLETE, 4 * n);
    scene_close();
    return steps;
}

static uint64_t replay_of_topics_by_turns(size_t n)
{
    return replay_of_topics(n, true);
}

static uint64_t replay_of_topics_in_a_row(size_t n)
{
    return replay_of_topics(n, false);
}

/* The same few events are replayed, however many are retained before them. */
static uint64_t replay_of_the_last(size_t n)
{
    const struct sse_text topic = sse_str("topic");
    uint64_t steps;

    open_history(n, 1000);
    (void)scene_publish_many(topic, n, NULL);
    steps = come_back(&topic, 1, scene_id(n - 10), SSE_REPLAY_COMPLETE, 10);
    scene_close();
    return steps;
}

/* Nearly all retained events are too old, and not discarded yet. */
static uint64_t replay_behind_what_is_too_old(size_t n)
{
    const struct sse_text topic = sse_str("topic");
    uint64_t steps;

    open_history(2 * n, 1000);
    (void)scene_publish_many(topic, n, NULL);
    steps_advance_ms(2000);
    steps = come_back(&topic, 1, scene_id(1), SSE_REPLAY_GAP, 0);
    scene_close();
    return steps;
}

/* Events of other topics. */
static uint64_t replay_among_topics(size_t n)
{
    const struct sse_text topic = sse_str("topic"), *names;
    uint64_t steps;

    open_history(2 * n, 0);
    names = scene_names(NAMES_COLLIDING, n);
    for (size_t i = 0; i < n; i++)
        (void)scene_publish(names[i], "an event");
    (void)scene_publish_many(topic, 10, NULL);
    steps = come_back(&topic, 1, scene_id(n), SSE_REPLAY_COMPLETE, 10);
    scene_close();
    return steps;
}

/* The same id in each of n topics, and a request for all of them. */
static uint64_t look_up(size_t n, struct sse_text id, enum sse_replay_outcome outcome, size_t messages)
{
    const struct sse_text *names;
    uint64_t steps;

    open_history(2 * n, 0);
    names = scene_names(NAMES_APART, n);
    for (size_t i = 0; i < n; i++)
        (void)scene_publish_event(names[i], &(struct sse_event){.data = sse_str("x"), .id = sse_str("id")});
    steps = come_back(names, n, id, outcome, messages);
    scene_close();
    return steps;
}

static uint64_t replay_after_an_id_of_all_topics(size_t n)
{
    return look_up(n, sse_str("id"), SSE_REPLAY_COMPLETE, n - 1);
}

static uint64_t replay_after_an_unknown_id(size_t n)
{
    return look_up(n, sse_str("another id"), SSE_REPLAY_GAP, 0);
}

/* The id has the maximum length, and is looked up in each topic. */
static uint64_t replay_after_a_long_id(size_t n)
{
    static char id[SSE_ID_SIZE_MAX];
    const struct sse_text *names, text = {.ptr = id, .len = sizeof(id)};
    uint64_t steps;

    memset(id, 'x', sizeof(id));
    open_history(2 * n, 0);
    names = scene_names(NAMES_APART, n);
    (void)scene_publish_event(names[0], &(struct sse_event){.data = sse_str("x"), .id = text});
    for (size_t i = 0; i < n; i++)
        (void)scene_publish(names[i], "an event");
    steps = come_back(names, n, text, SSE_REPLAY_COMPLETE, n);
    scene_close();
    return steps;
}

/* A gap whose events the server will fill, or will not. All retained events wait for that. */
static uint64_t start(size_t n, bool filled)
{
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(&(struct sse_registry_options){.history = {.events = n}, .gap_type = sse_str("gap")});
    (void)scene_publish_many(absent, n + 10, NULL);
    options = scene_options();
    options.paused = true;
    options.last_event_id = sse_str("unknown");
    emitter = scene_add(&options, NULL, 0);
    scene.full = true;
    before = steps_count();
    scene_check(!sse_emitter_start(emitter, filled), "not started");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t start_with_a_gap(size_t n)
{
    return start(n, false);
}

static uint64_t start_with_a_gap_filled(size_t n)
{
    return start(n, true);
}

/* Each of n topics has one event. */
static uint64_t unref_the_registry(size_t n)
{
    struct sse_registry *registry;
    struct sse_registry_options options = {
        .size = sizeof(options), .platform = &steps_platform, .history = {.events = n}};
    const struct sse_text *names;
    uint64_t before;

    scene_open(NULL);
    names = scene_names(NAMES_APART, n);
    scene_check(!sse_registry_new(&registry, &options), "no registry");
    for (size_t i = 0; i < n; i++)
        (void)sse_registry_publish(registry, names[i],
                                   &(struct sse_event){.data = sse_str("x"), .id = names[i / 2]}, NULL);
    before = steps_count();
    sse_registry_unref(registry);
    before = steps_count() - before;
    scene_close();
    return before;
}

const struct cost costs_of_histories[] = {
    COST(PUBLISH, "events and ids retained", CONSTANT, 2048, publish_as_the_history_grows),
    COST(PUBLISH, "events and ids retained", CONSTANT, 2048, publish_into_a_full_history),
    COST(PUBLISH, "events and ids retained", CONSTANT, 4000, publish_one_for_many),
    COST(PUBLISH, "events and ids retained", CONSTANT, 1000, publish_ids),
    COST(PUBLISH, "events and ids retained", CONSTANT, 1000, publish_ids_that_would_collide),
    COST(PUBLISH, "events and ids retained", CONSTANT, 1000, publish_one_id),
    COST(PUBLISH, "topics with events retained", LOGARITHMIC, 1000, publish_to_retained_topics),
    COST("registry_publish, get_stats; emitter_new", "events that expire at once", LOGARITHMIC, 1000,
         publish_as_a_topic_expires),
    COST("registry_publish, get_stats; emitter_new", "events that expire at once", LOGARITHMIC, 1000,
         publish_as_all_topics_expire),
    COST("registry_publish, get_stats; emitter_new", "events that expire at once", LOGARITHMIC, 1000,
         statistics_as_all_expire),
    COST(JOIN, "events replayed", LINEAR, 1000, replay_of_one_topic),
    COST(JOIN, "events replayed", LINEAR, 1000, subscribe_and_replay),
    COST(JOIN, "topics named, with a last id", LINEARITHMIC, 1000, replay_of_topics_by_turns),
    COST(JOIN, "topics named, with a last id", LINEARITHMIC, 1000, replay_of_topics_in_a_row),
    COST(JOIN, "events retained", LOGARITHMIC, 1000, replay_of_the_last),
    COST("registry_publish, get_stats; emitter_new", "events that expire at once", LOGARITHMIC, 1000,
         replay_behind_what_is_too_old),
    COST(JOIN, "events retained", LOGARITHMIC, 1000, replay_among_topics),
    COST(JOIN, "topics named, with a last id", LINEARITHMIC, 1000, replay_after_an_id_of_all_topics),
    COST(JOIN, "topics named, with a last id", LINEARITHMIC, 1000, replay_after_an_unknown_id),
    COST(JOIN, "topics named, with a last id", LINEARITHMIC, 1000, replay_after_a_long_id),
    COST("emitter_start", "events it drops", LINEAR, 1000, start_with_a_gap),
    COST("emitter_start", "events it keeps", CONSTANT, 1000, start_with_a_gap_filled),
    COST("registry_unref", "topics with events retained", LINEARITHMIC, 1000, unref_the_registry),
    {.name = NULL},
};

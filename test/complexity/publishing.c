/* SPDX-License-Identifier: MIT */
/* What a publish costs apart from queues and history: receivers, topics, members. */
#include "scene.h"

#include <errno.h>
#include <string.h>

static uint64_t to_ready(size_t n, struct sse_text topic)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, topic);
    scene_settle();
    steps = scene_publish(topic, "an event");
    scene_close();
    return steps;
}

static uint64_t publish_to_everyone(size_t n)
{
    return to_ready(n, absent);
}

static uint64_t publish_to_a_topic(size_t n)
{
    return to_ready(n, sse_str("topic"));
}

static uint64_t publish_to_readers(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    options.output = SSE_OUTPUT_PULL;
    options.write = NULL;
    scene_add_many(&options, n, absent);
    scene_settle();
    steps = scene_publish(absent, "an event");
    scene_close();
    return steps;
}

/* Every queue is full before the event. */
static uint64_t to_full(size_t n, enum sse_overflow overflow)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    options.overflow = overflow;
    options.queue_messages = 4;
    scene_add_many(&options, n, absent);
    scene_settle();
    (void)scene_publish(absent, "first");
    scene_block();
    for (int i = 0; i < 3; i++)
        (void)scene_publish_event(absent, &(struct sse_event){.data = sse_str("x"), .key = sse_str("key")});
    steps = scene_publish_event(absent, &(struct sse_event){.data = sse_str("x"), .key = sse_str("key")});
    scene_close();
    return steps;
}

static uint64_t publish_to_full_drop_newest(size_t n)
{
    return to_full(n, SSE_OVERFLOW_DROP_NEWEST);
}

static uint64_t publish_to_full_drop_oldest(size_t n)
{
    return to_full(n, SSE_OVERFLOW_DROP_OLDEST);
}

static uint64_t publish_to_full_coalesce(size_t n)
{
    return to_full(n, SSE_OVERFLOW_COALESCE);
}

/* The publisher itself writes to emitters whose loop is behind. */
static uint64_t publish_to_descriptors_behind(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open_polled(NULL, SSE_POLLER_POLL);
    options = scene_options();
    options.output = SSE_OUTPUT_FD;
    options.write = NULL;
    options.keep_fd = true;
    options.queue_messages = 2;
    for (size_t i = 0; i < n; i++) {
        options.fd = scene_descriptor();
        (void)scene_add(&options, NULL, 0);
    }
    (void)scene_publish(absent, "an event");
    scene_drain();
    steps = scene_publish(absent, "an event");
    scene_close();
    return steps;
}

/* One whose queue is smaller than the event has left. The first publish looks at each queue, which is a step
 * at least; the next ones need not. */
static uint64_t publish_after_one_with_a_small_queue(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps[3];

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    options.queue_bytes = 10;
    scene_check(!sse_emitter_abort(scene_add(&options, NULL, 0), -EPIPE), "it has not ended");
    for (size_t i = 0; i < 3; i++) {
        scene_settle();
        steps[i] = scene_publish(absent, "more than ten bytes");
    }
    scene_check(steps[1] + n <= steps[0], "the second publish looks at each queue");
    scene_check(steps[2] == steps[1], "the third publish costs more than the second");
    scene_close();
    return steps[1];
}

/* All of them overflow and end. */
static uint64_t publish_that_ends_all(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    options.queue_bytes = 100;
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    (void)scene_publish(absent, "first");
    scene_block();
    do
        steps = scene_publish(absent, "12345");
    while (sse_registry_count(scene.registry, absent) == n);
    scene_check(!sse_registry_count(scene.registry, absent), "not all have ended");
    scene_close();
    return steps;
}

static uint64_t among_topics(size_t n, enum names kind)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    uint64_t steps = 0;

    scene_open(NULL);
    options = scene_options();
    names = scene_names(kind, n);
    for (size_t i = 0; i < n; i++)
        (void)scene_add(&options, &names[i], 1);
    scene_settle();
    for (size_t i = 0; i < 100; i++)
        steps += scene_publish(names[i * (n / 100)], "an event");
    scene_close();
    return steps;
}

static uint64_t publish_among_topics(size_t n)
{
    return among_topics(n, NAMES_APART);
}

static uint64_t publish_among_topics_alike(size_t n)
{
    return among_topics(n, NAMES_ALIKE);
}

static uint64_t publish_among_topics_that_would_collide(size_t n)
{
    return among_topics(n, NAMES_COLLIDING);
}

/* The other emitters are full, behind and over their limits. That must not affect this publish. */
static uint64_t publish_among_members(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    options.overflow = SSE_OVERFLOW_DROP_NEWEST;
    options.queue_messages = 2;
    scene_add_many(&options, n, sse_str("others"));
    (void)scene_publish(sse_str("others"), "an event");
    scene_block();
    (void)scene_publish_many(sse_str("others"), 4, NULL);
    (void)scene_add(&options, &(struct sse_text){.ptr = "topic", .len = 5}, 1);
    steps = scene_publish_many(sse_str("topic"), 2, NULL);
    scene_close();
    return steps;
}

static uint64_t publish_message(const struct sse_event *event)
{
    struct sse_message *message;
    uint64_t before;

    scene_check(!sse_message_new(&message, event, 1, &steps_platform), "no message");
    before = steps_count();
    scene_check(!sse_registry_publish_message(scene.registry, absent, message, NULL), "not published");
    before = steps_count() - before;
    sse_message_unref(message);
    return before;
}

static uint64_t publish_message_to_everyone(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    scene_settle();
    steps = publish_message(&(struct sse_event){.data = sse_str("an event")});
    scene_close();
    return steps;
}

/* The history assigns an id, so the message is copied. */
static uint64_t with_data(size_t n, const char *pattern, bool as_message)
{
    char *data = malloc(n);
    const struct sse_event event = {.data = {.ptr = data, .len = n}};
    uint64_t steps;

    scene_check(data, "out of memory");
    for (size_t i = 0; i < n; i++)
        data[i] = pattern[i % strlen(pattern)];
    scene_open(&(struct sse_registry_options){.history = {.events = 10, .bytes = 10 * n}});
    steps = as_message ? publish_message(&event) : scene_publish_event(absent, &event);
    scene_close();
    free(data);
    return steps;
}

static uint64_t publish_a_long_line(size_t n)
{
    return with_data(n, "a", false);
}

static uint64_t publish_line_ends(size_t n)
{
    return with_data(n, "\n", false);
}

static uint64_t publish_carriage_returns(size_t n)
{
    return with_data(n, "\r\n\r", false);
}

static uint64_t publish_letters_of_two_bytes(size_t n)
{
    return with_data(n, "\xc3\xa4", false);
}

static uint64_t publish_message_to_retain(size_t n)
{
    return with_data(n, "a", true);
}

static uint64_t send_to_the_first(struct sse_text unused, const struct sse_event *event)
{
    uint64_t before = steps_count();

    (void)unused;
    (void)sse_emitter_send(scene.emitters[0], event);
    return steps_count() - before;
}

/* Each member has the same backlog, or one has all of it. The budget is reached, and an event to one or to all
 * passes it. */
static uint64_t at_the_budget(size_t n, size_t excess, bool alike, struct sse_text topic,
                              uint64_t (*pass)(struct sse_text topic, const struct sse_event *event))
{
    struct sse_emitter_options options;
    struct sse_registry_stats stats;
    struct sse_registry_options limits = {.backlog_bytes = n * 400};
    char *data = calloc(1, excess + 1);
    uint64_t steps;

    scene_check(data, "out of memory");
    memset(data, 'x', excess);
    scene_open(&limits);
    options = scene_options();
    options.queue_bytes = 400 * n + excess;
    options.queue_messages = 400 * n;
    (void)scene_add(&options, &(struct sse_text){.ptr = "one", .len = 3}, 1);
    scene_add_many(&options, n, sse_str("others"));
    scene_settle();
    (void)scene_publish(absent, "first");
    scene_block();
    do {
        (void)scene_publish(sse_str(alike ? "others" : "one"), alike ? "an event of 24 bytes" : "event");
        scene_check(!sse_registry_get_stats(scene.registry, &stats, sizeof(stats)), "no statistics");
    } while (stats.backlog_bytes + 40 * (alike ? n : 1) < limits.backlog_bytes);
    scene_check(stats.emitters == n + 1, "somebody has ended");
    steps = pass(topic, &(struct sse_event){.data = {.ptr = data, .len = excess}});
    scene_check(sse_registry_count(scene.registry, absent) <= n, "nobody has ended");
    scene_close();
    free(data);
    return steps;
}

static uint64_t publish_over_the_budget_all_alike(size_t n)
{
    return at_the_budget(n, 80 * n, true, sse_str("one"), scene_publish_event);
}

static uint64_t send_over_the_budget(size_t n)
{
    return at_the_budget(n, 80 * n, true, absent, send_to_the_first);
}

static uint64_t publish_over_the_budget_one_large(size_t n)
{
    return at_the_budget(n, 100, false, sse_str("one"), scene_publish_event);
}

/* Half of the members end. Row H2. */
static uint64_t publish_over_the_budget_to_all(size_t n)
{
    return at_the_budget(n, 400, true, absent, scene_publish_event);
}

const struct cost costs_of_publishing[] = {
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_to_everyone),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_to_a_topic),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_message_to_everyone),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_to_readers),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_to_full_drop_newest),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_to_full_drop_oldest),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_to_full_coalesce),
    COST(PUBLISH, "receivers", LINEAR, 60, publish_to_descriptors_behind),
    COST(PUBLISH, "receivers", LINEAR, 1000, publish_after_one_with_a_small_queue),
    COST(PUBLISH, "receivers that end by it", LINEARITHMIC, 1000, publish_that_ends_all),
    COST(PUBLISH, "other members, other topics", CONSTANT, 4000, publish_among_topics),
    COST(PUBLISH, "other members, other topics", CONSTANT, 4000, publish_among_topics_alike),
    COST(PUBLISH, "other members, other topics", CONSTANT, 4000, publish_among_topics_that_would_collide),
    COST(PUBLISH, "other members, other topics", CONSTANT, 1000, publish_among_members),
    COST(PUBLISH, "bytes of the event", LINEAR, 10000, publish_a_long_line),
    COST(PUBLISH, "bytes of the event", LINEAR, 10000, publish_line_ends),
    COST(PUBLISH, "bytes of the event", LINEAR, 10000, publish_carriage_returns),
    COST(PUBLISH, "bytes of the event", LINEAR, 10000, publish_letters_of_two_bytes),
    COST(PUBLISH, "bytes of the event", LINEAR, 10000, publish_message_to_retain),
    COST(PUBLISH, "members, when the budget is passed", LINEARITHMIC, 500, publish_over_the_budget_all_alike),
    COST(PUBLISH, "members, when the budget is passed", LINEARITHMIC, 500, publish_over_the_budget_one_large),
    COST(PUBLISH, "members, when the budget is passed", LINEARITHMIC, 500, publish_over_the_budget_to_all),
    COST("emitter_new, send; loop_turn", "members, when the budget is passed", LINEARITHMIC, 500,
         send_over_the_budget),
    {.name = NULL},
};

/* SPDX-License-Identifier: MIT */
/* What it costs to subscribe to many topics, and to have many already. */
#include "scene.h"

static uint64_t subscribe(struct sse_emitter *emitter, const struct sse_text *topics, size_t count)
{
    uint64_t before = steps_count();

    scene_check(!sse_registry_subscribe(scene.registry, emitter, topics, count, absent, NULL),
                "not subscribed");
    return steps_count() - before;
}

static uint64_t unsubscribe(struct sse_emitter *emitter, const struct sse_text *topics, size_t count)
{
    uint64_t before = steps_count();

    scene_check(!sse_registry_unsubscribe(scene.registry, emitter, topics, count), "not unsubscribed");
    return steps_count() - before;
}

static uint64_t new_with(size_t n, enum names kind)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    names = scene_names(kind, n);
    before = steps_count();
    (void)scene_add(&options, names, n);
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t new_with_topics(size_t n)
{
    return new_with(n, NAMES_APART);
}

static uint64_t new_with_topics_alike(size_t n)
{
    return new_with(n, NAMES_ALIKE);
}

static uint64_t new_with_topics_that_would_collide(size_t n)
{
    return new_with(n, NAMES_COLLIDING);
}

static uint64_t new_with_one_topic_over_and_over(size_t n)
{
    return new_with(n, NAMES_THE_SAME);
}

/* The last of many topics is over its cap, so all the others are undone. */
static uint64_t new_refused_at_the_last_topic(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(&(struct sse_registry_options){.topic_emitters_max = 1});
    options = scene_options();
    names = scene_names(NAMES_APART, n);
    (void)scene_add(&options, &names[n - 1], 1);
    options.topics = names;
    options.topic_count = n;
    before = steps_count();
    scene_check(sse_emitter_new(&emitter, &options, NULL) == -EAGAIN, "not refused");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* All topics of the emitter have many other subscribers. It already has `own` of them. */
static struct sse_emitter *open_crowded(const struct sse_text **names, size_t count, size_t own)
{
    struct sse_emitter_options options;

    scene_open(NULL);
    options = scene_options();
    *names = scene_names(NAMES_APART, count);
    for (size_t i = 0; i < 60; i++)
        (void)scene_add(&options, *names, count);
    return scene_add(&options, *names, own);
}

static uint64_t subscribe_to_topics(size_t n)
{
    const struct sse_text *names;
    struct sse_emitter *emitter = open_crowded(&names, n, 0);
    uint64_t steps = subscribe(emitter, names, n);

    scene_close();
    return steps;
}

static uint64_t subscribe_to_what_it_has(size_t n)
{
    const struct sse_text *names;
    struct sse_emitter *emitter = open_crowded(&names, n, n);
    uint64_t steps = subscribe(emitter, names, n);

    scene_close();
    return steps;
}

static uint64_t unsubscribe_from_topics(size_t n)
{
    const struct sse_text *names;
    struct sse_emitter *emitter = open_crowded(&names, n, n);
    uint64_t steps = unsubscribe(emitter, names, n);

    scene_close();
    return steps;
}

static uint64_t unsubscribe_from_one_over_and_over(size_t n)
{
    const struct sse_text *names;
    struct sse_emitter *emitter;
    uint64_t steps;

    (void)open_crowded(&names, 2, 2);
    emitter = scene.emitters[scene.count - 1];
    names = scene_names(NAMES_THE_SAME, n);
    steps = unsubscribe(emitter, names, n);
    scene_close();
    return steps;
}

/* Topics that the emitter does not have. The place of a topic in the emitter's index depends on its address. The
 * mean of many hardly does. */
#define POPULAR 40

/* The topics have more subscribers than the emitter has topics, so neither list is short. */
static struct sse_emitter *open_popular(size_t n, const struct sse_text **popular)
{
    struct sse_emitter_options options;

    scene_open(NULL);
    options = scene_options();
    *popular = scene_names(NAMES_APART, POPULAR + n);
    for (size_t i = 0; i < 2 * n; i++)
        (void)scene_add(&options, *popular, POPULAR);
    return scene_add(&options, *popular + POPULAR, n);
}

/* Calls with `count` topics each, and every popular topic several times. */
static uint64_t one_more(size_t n, size_t count, bool subscribes)
{
    const struct sse_text *popular;
    struct sse_emitter *emitter = open_popular(n, &popular);
    uint64_t steps = 0;

    for (size_t i = 0; i < 10 * POPULAR; i += count) {
        uint64_t subscribing = subscribe(emitter, &popular[i % POPULAR], count);
        uint64_t unsubscribing = unsubscribe(emitter, &popular[i % POPULAR], count);

        steps += subscribes ? subscribing : unsubscribing;
    }
    scene_close();
    return steps;
}

static uint64_t subscribe_to_one_more(size_t n)
{
    return one_more(n, 1, true);
}

static uint64_t subscribe_to_two_more(size_t n)
{
    return one_more(n, 2, true);
}

static uint64_t unsubscribe_from_one(size_t n)
{
    return one_more(n, 1, false);
}

static uint64_t unsubscribe_from_two(size_t n)
{
    return one_more(n, 2, false);
}

/* One call for each of n topics, in the order of subscription or the other way round. */
static uint64_t one_by_one(size_t n, bool backwards)
{
    const struct sse_text *names;
    struct sse_emitter *emitter = open_crowded(&names, n, 1);
    uint64_t steps = 0;

    for (size_t i = 0; i < n; i++)
        steps += subscribe(emitter, &names[i], 1);
    for (size_t i = 0; i < n; i++)
        steps += unsubscribe(emitter, &names[backwards ? n - 1 - i : i], 1);
    scene_close();
    return steps / n;
}

static uint64_t subscribe_and_unsubscribe_one_by_one(size_t n)
{
    return one_by_one(n, false);
}

static uint64_t subscribe_and_unsubscribe_backwards(size_t n)
{
    return one_by_one(n, true);
}

static uint64_t subscribe_as_the_list_grows(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    struct sse_emitter *emitter;
    uint64_t worst = 0;

    scene_open(NULL);
    options = scene_options();
    names = scene_names(NAMES_APART, n);
    emitter = scene_add(&options, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t steps = subscribe(emitter, &names[i], 1);

        worst = steps > worst ? steps : worst;
    }
    scene_close();
    return worst;
}

static uint64_t end_with(size_t n, void (*end_it)(struct sse_emitter *emitter))
{
    const struct sse_text *names;
    struct sse_emitter *emitter = open_crowded(&names, n, n);
    uint64_t before = steps_count();

    end_it(emitter);
    before = steps_count() - before;
    scene_check(sse_registry_count(scene.registry, names[0]) == 60, "it has not left");
    scene_close();
    return before;
}

static void break_off(struct sse_emitter *emitter)
{
    (void)sse_emitter_abort(emitter, -EPIPE);
}

static uint64_t abort_with_topics(size_t n)
{
    return end_with(n, break_off);
}

/* With one topic more or less, a popular topic has much to sort. */
static uint64_t subscribe_to_a_popular_topic(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text popular = sse_str("popular");
    uint64_t steps;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, popular);
    steps = subscribe(scene_add(&options, NULL, 0), &popular, 1);
    scene_close();
    return steps;
}

static uint64_t unsubscribe_from_a_popular_topic(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text popular = sse_str("popular");
    uint64_t steps = 0;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, popular);
    for (size_t i = 0; i < 50; i++)
        steps += unsubscribe(scene.emitters[i], &popular, 1);
    scene_close();
    return steps;
}

const struct cost costs_of_topics[] = {
    COST(JOIN, "topics named", LINEAR, 4000, new_with_topics),
    COST(JOIN, "topics named", LINEAR, 4000, new_with_topics_alike),
    COST(JOIN, "topics named", LINEAR, 4000, new_with_topics_that_would_collide),
    COST(JOIN, "topics named", LINEAR, 1000, new_with_one_topic_over_and_over),
    COST(JOIN, "topics named", LINEAR, 1000, new_refused_at_the_last_topic),
    COST(JOIN, "topics named", LINEAR, 500, subscribe_to_topics),
    COST(JOIN, "topics named", LINEAR, 500, subscribe_to_what_it_has),
    COST("registry_subscribe, unsubscribe", "topics it has", CONSTANT, 200, subscribe_to_one_more),
    COST("registry_subscribe, unsubscribe", "topics it has", CONSTANT, 200, subscribe_to_two_more),
    COST("registry_subscribe, unsubscribe", "topics it has", CONSTANT, 200,
         subscribe_and_unsubscribe_one_by_one),
    COST("registry_subscribe, unsubscribe", "topics it has", CONSTANT, 200,
         subscribe_and_unsubscribe_backwards),
    COST("registry_subscribe", "topics it has, when its list grows", LINEAR, 1000,
         subscribe_as_the_list_grows),
    COST("registry_subscribe, unsubscribe", "subscribers of the topic", LOGARITHMIC, 1000,
         subscribe_to_a_popular_topic),
    COST("registry_unsubscribe", "topics named", LINEAR, 500, unsubscribe_from_topics),
    COST("registry_unsubscribe", "topics named", LINEAR, 500, unsubscribe_from_one_over_and_over),
    COST("registry_subscribe, unsubscribe", "topics it has", CONSTANT, 200, unsubscribe_from_one),
    COST("registry_subscribe, unsubscribe", "topics it has", CONSTANT, 200, unsubscribe_from_two),
    COST("registry_subscribe, unsubscribe", "subscribers of the topic", LOGARITHMIC, 1000,
         unsubscribe_from_a_popular_topic),
    COST(END, "topics it has", LINEAR, 500, abort_with_topics),
    {.name = NULL},
};

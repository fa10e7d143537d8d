/* SPDX-License-Identifier: MIT */
/* What many emitters cost: one joins, one ends, all end, all are visited. */
#include "scene.h"

#define ASK "registry_complete, count, get_stats, wait"

static uint64_t new_one(const struct sse_emitter_options *options, const struct sse_text *topics,
                        size_t count)
{
    struct sse_emitter_options own = *options;
    struct sse_emitter *emitter;
    uint64_t before;

    own.topics = topics;
    own.topic_count = count;
    before = steps_count();
    scene_check(!sse_emitter_new(&emitter, &own, NULL), "no emitter");
    before = steps_count() - before;
    sse_emitter_close(emitter);
    return before;
}

/* The most expensive of all while they join. */
static uint64_t new_as_members_come(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text topic = sse_str("topic");
    uint64_t worst = 0;

    scene_open(NULL);
    options = scene_options();
    for (size_t i = 0; i < n; i++) {
        uint64_t before = steps_count(), steps;

        (void)scene_add(&options, &topic, 1);
        steps = steps_count() - before;
        worst = steps > worst ? steps : worst;
    }
    scene_close();
    return worst;
}

/* Each has its own topic, so the table of topics grows too. */
static uint64_t new_with_a_new_topic(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    uint64_t worst = 0;

    scene_open(NULL);
    options = scene_options();
    names = scene_names(NAMES_APART, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t before = steps_count(), steps;

        (void)scene_add(&options, &names[i], 1);
        steps = steps_count() - before;
        worst = steps > worst ? steps : worst;
    }
    scene_close();
    return worst;
}

/* Each newcomer evicts the oldest, whose topics are all full too. */
static uint64_t new_at_the_cap(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text topic = sse_str("topic");
    uint64_t steps = 0;

    scene_open(&(struct sse_registry_options){
        .emitters_max = n, .topic_emitters_max = n, .admission = SSE_ADMISSION_EVICT_OLDEST});
    options = scene_options();
    scene_add_many(&options, n, topic);
    scene_settle();
    for (size_t i = 0; i < 50; i++)
        steps += new_one(&options, &topic, 1);
    scene_close();
    return steps;
}

static uint64_t new_at_the_cap_refused(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text topic = sse_str("topic");
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(&(struct sse_registry_options){.topic_emitters_max = n});
    options = scene_options();
    scene_add_many(&options, n, topic);
    options.topics = &topic;
    options.topic_count = 1;
    before = steps_count();
    scene_check(sse_emitter_new(&emitter, &options, NULL) == -EAGAIN, "not refused");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* The evicted emitter is paused, and has n events behind its pause. */
static uint64_t new_evicts_a_paused_one(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(&(struct sse_registry_options){.emitters_max = 1, .admission = SSE_ADMISSION_EVICT_OLDEST});
    options = scene_options();
    options.paused = true;
    options.queue_messages = n;
    (void)scene_add(&options, NULL, 0);
    (void)scene_publish_many(absent, n, NULL);
    options.paused = false;
    steps = new_one(&options, NULL, 0);
    scene_close();
    return steps;
}

/* The evicted emitter has n topics, each with another subscriber. */
static uint64_t new_evicts_one_with_topics(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    uint64_t steps;

    scene_open(&(struct sse_registry_options){.emitters_max = 2, .admission = SSE_ADMISSION_EVICT_OLDEST});
    options = scene_options();
    names = scene_names(NAMES_APART, n);
    (void)scene_add(&options, names, n);
    (void)scene_add(&options, names, n);
    steps = new_one(&options, NULL, 0);
    scene_close();
    return steps;
}

enum which { OLDEST, NEWEST, MIDDLE };

static struct sse_emitter *pick(enum which which, size_t turn)
{
    switch (which) {
    case OLDEST:
        return scene.emitters[turn];
    case NEWEST:
        return scene.emitters[scene.count - 1 - turn];
    case MIDDLE:
        break;
    }
    return scene.emitters[scene.count / 2 + turn * 7];
}

/* The mean of 50 ends, with the turn that finishes each. */
static uint64_t end(size_t n, enum which which, bool graceful)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    before = steps_count();
    for (size_t i = 0; i < 50; i++) {
        if (graceful)
            (void)sse_emitter_complete(pick(which, i));
        else
            (void)sse_emitter_abort(pick(which, i), -EPIPE);
        scene_settle();
    }
    before = steps_count() - before;
    scene_check(sse_registry_count(scene.registry, absent) == n - 50, "they have not ended");
    scene_close();
    return before;
}

static uint64_t abort_the_oldest(size_t n)
{
    return end(n, OLDEST, false);
}

static uint64_t abort_the_newest(size_t n)
{
    return end(n, NEWEST, false);
}

static uint64_t complete_one(size_t n)
{
    return end(n, MIDDLE, true);
}

static uint64_t close_one(size_t n)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    before = steps_count();
    for (size_t i = 0; i < 50; i++) {
        sse_emitter_close(scene.emitters[i]);
        scene_settle();
        scene.emitters[i] = NULL;
    }
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t complete(size_t n, struct sse_text topic)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    before = steps_count();
    scene_check(!sse_registry_complete(scene.registry, topic), "not completed");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t complete_a_topic(size_t n)
{
    return complete(n, sse_str("topic"));
}

static uint64_t complete_everyone(size_t n)
{
    return complete(n, absent);
}

static uint64_t complete_another_topic(size_t n)
{
    return complete(n, sse_str("another"));
}

/* Some drain, some are paused, some outputs accept nothing. */
static uint64_t shut_down(size_t n)
{
    const struct sse_event last = {.data = sse_str("the end")};
    const struct sse_shutdown_options how = {.size = sizeof(how),
                                             .final_event = &last,
                                             .retry_min_ms = 1000,
                                             .retry_max_ms = 9000,
                                             .drain_ms = 1000};
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    for (size_t i = 0; i < n; i++) {
        options.paused = i % 3 == 0;
        (void)scene_add(&options, NULL, 0);
    }
    scene_settle();
    (void)scene_publish(absent, "first");
    scene_block();
    (void)scene_publish(absent, "second");
    before = steps_count();
    scene_check(!sse_registry_shutdown(scene.registry, &how), "no shutdown");
    before = steps_count() - before;
    scene_close();
    return before;
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    ++*(size_t *)user;
    return 0;
}

static uint64_t each(size_t n)
{
    struct sse_emitter_options options;
    size_t visited = 0;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    before = steps_count();
    scene_check(!sse_registry_each(scene.registry, sse_str("topic"), visit, &visited) && visited == n,
                "not visited");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t count_them(size_t n)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    before = steps_count();
    scene_check(sse_registry_count(scene.registry, sse_str("topic")) == n, "another count");
    before = steps_count() - before;
    scene_close();
    return before;
}

static uint64_t statistics(size_t n)
{
    struct sse_emitter_options options;
    const struct sse_text *names;
    struct sse_registry_stats stats;
    uint64_t before;

    scene_open(&(struct sse_registry_options){.history = {.events = n}});
    options = scene_options();
    names = scene_names(NAMES_APART, n);
    for (size_t i = 0; i < n; i++) {
        (void)scene_add(&options, &names[i], 1);
        (void)scene_publish(names[i], "an event");
    }
    before = steps_count();
    scene_check(!sse_registry_get_stats(scene.registry, &stats, sizeof(stats)), "no statistics");
    before = steps_count() - before;
    scene_check(stats.topics == n && stats.emitters == n && stats.history_events == n, "other statistics");
    scene_close();
    return before;
}

static uint64_t wait_for_none(size_t n)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, absent);
    before = steps_count();
    scene_check(sse_registry_wait(scene.registry, 0) == -ETIMEDOUT, "there is nobody");
    before = steps_count() - before;
    scene_close();
    return before;
}

/* Calls that concern only one emitter. */
static uint64_t small_calls(size_t n)
{
    struct sse_emitter_options options;
    struct sse_emitter_info info;
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    scene_add_many(&options, n, sse_str("topic"));
    scene_settle();
    emitter = scene.emitters[n / 2];
    before = steps_count();
    sse_emitter_unref(sse_emitter_ref(emitter));
    sse_registry_unref(sse_registry_ref(scene.registry));
    scene_check(!sse_emitter_user(emitter), "another user");
    scene_check(!sse_emitter_get_info(emitter, &info, sizeof(info)), "no info");
    scene_check(!sse_emitter_ping(emitter), "no ping");
    scene_check(sse_emitter_flush(emitter) >= 0, "no flush");
    scene_check(!sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("x")}), "no send");
    scene_check(sse_loop_count(scene.loop) == n, "another count");
    before = steps_count() - before;
    scene_close();
    return before;
}

const struct cost costs_of_members[] = {
    COST("emitter_new", "members", CONSTANT, 4000, new_as_members_come),
    COST("emitter_new", "members", CONSTANT, 4000, new_with_a_new_topic),
    COST("emitter_new", "members", CONSTANT, 1000, new_at_the_cap_refused),
    COST(JOIN, "members, at a cap", LOGARITHMIC, 1000, new_at_the_cap),
    COST(JOIN, "topics of the one it evicts", LINEAR, 1000, new_evicts_one_with_topics),
    COST(JOIN, "events behind the pause of the one it evicts", LINEAR, 1000, new_evicts_a_paused_one),
    COST(END, "members", LOGARITHMIC, 1000, abort_the_oldest),
    COST(END, "members", LOGARITHMIC, 1000, abort_the_newest),
    COST(END, "members", LOGARITHMIC, 1000, complete_one),
    COST(END, "members", LOGARITHMIC, 1000, close_one),
    COST("registry_complete, shutdown, each", "those it concerns", LINEAR, 1000, complete_a_topic),
    COST("registry_complete, shutdown, each", "those it concerns", LINEAR, 1000, complete_everyone),
    COST(ASK, "other members, topics, events retained", CONSTANT, 1000, complete_another_topic),
    COST("registry_complete, shutdown, each", "those it concerns", LINEAR, 1000, shut_down),
    COST("registry_complete, shutdown, each", "those it concerns", LINEAR, 1000, each),
    COST(ASK, "other members, topics, events retained", CONSTANT, 1000, count_them),
    COST(ASK, "other members, topics, events retained", CONSTANT, 1000, statistics),
    COST(ASK, "other members, topics, events retained", CONSTANT, 1000, wait_for_none),
    COST("emitter_ref, unref, user, get_info, ping, flush, send; registry_ref; loop_count", "members",
         CONSTANT, 1000, small_calls),
    {.name = NULL},
};

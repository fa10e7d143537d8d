/* SPDX-License-Identifier: MIT */
/* What a client costs that reads nothing: its queue is long. */
#include "scene.h"

/* A receiver whose output accepts nothing, and whose queue has room. */
static struct sse_emitter *add_blocked(size_t room, enum sse_overflow overflow, enum sse_output output)
{
    struct sse_emitter_options options = scene_options();
    struct sse_emitter *emitter;

    options.queue_messages = room;
    options.queue_bytes = (size_t)1 << 30;
    options.overflow = overflow;
    options.output = output;
    options.write = output == SSE_OUTPUT_PULL ? NULL : options.write;
    emitter = scene_add(&options, NULL, 0);
    scene_settle();
    (void)scene_publish(absent, "first");
    scene_block();
    return emitter;
}

/* Takes the mean, because at some lengths the ring is doubled. */
static uint64_t publish_behind_a_queue(size_t n)
{
    uint64_t steps;

    scene_open(NULL);
    (void)add_blocked(3 * n, SSE_OVERFLOW_END, SSE_OUTPUT_CALLBACK);
    (void)scene_publish_many(absent, n, NULL);
    steps = scene_publish_many(absent, n, NULL) / n;
    scene_close();
    return steps;
}

static uint64_t publish_as_the_ring_grows(size_t n)
{
    uint64_t worst;

    scene_open(NULL);
    (void)add_blocked(3 * n, SSE_OVERFLOW_END, SSE_OUTPUT_CALLBACK);
    (void)scene_publish_many(absent, n, NULL);
    (void)scene_publish_many(absent, n, &worst);
    scene_close();
    return worst;
}

static uint64_t publish_drop_newest(size_t n)
{
    uint64_t steps;

    scene_open(NULL);
    (void)add_blocked(n, SSE_OVERFLOW_DROP_NEWEST, SSE_OUTPUT_CALLBACK);
    (void)scene_publish_many(absent, n, NULL);
    (void)scene_publish_many(absent, n, &steps);
    scene_close();
    return steps;
}

static uint64_t publish_drop_oldest(size_t n)
{
    uint64_t steps;

    scene_open(NULL);
    (void)add_blocked(n, SSE_OVERFLOW_DROP_OLDEST, SSE_OUTPUT_CALLBACK);
    (void)scene_publish_many(absent, n, NULL);
    steps = scene_publish_many(absent, 2 * n, NULL) / (2 * n);
    scene_close();
    return steps;
}

/* The front of the queue must not be dropped. The first droppable message is in the middle. */
static uint64_t publish_drop_oldest_behind_a_replay(size_t n)
{
    struct sse_emitter_options options;
    uint64_t steps;

    scene_open(&(struct sse_registry_options){.history = {.events = n}, .id_prefix = sse_str("E")});
    (void)scene_publish_many(absent, n, NULL);
    options = scene_options();
    options.queue_messages = n;
    options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    options.last_event_id = scene_id(0);
    scene.full = true;
    (void)scene_add(&options, NULL, 0);
    scene_block();
    (void)scene_publish_many(absent, n, NULL);
    steps = scene_publish_many(absent, 2 * n, NULL) / (2 * n);
    scene_close();
    return steps;
}

/* A reader peeks at some of the events all the time. */
static uint64_t publish_drop_oldest_behind_a_peek(size_t n)
{
    struct iovec iov[16];
    struct sse_emitter *emitter;
    uint64_t steps;

    scene_open(NULL);
    emitter = add_blocked(n, SSE_OVERFLOW_DROP_OLDEST, SSE_OUTPUT_PULL);
    (void)scene_publish_many(absent, 8 * n, NULL);
    scene_settle();
    scene_settle();
    scene_check(sse_emitter_peek(emitter, iov, 16) == 16, "nothing to look at");
    steps = scene_publish_many(absent, 2 * n, NULL) / (2 * n);
    scene_close();
    return steps;
}

static uint64_t publish_key(size_t number)
{
    char text[32];
    struct sse_event event = {.data = sse_str("x"), .key = {.ptr = text}};

    event.key.len = (size_t)snprintf(text, sizeof(text), "key %zu", number);
    return scene_publish_event(absent, &event);
}

/* n keys are queued. Then 2n events come, with these keys among them, each `stride` after the one before. */
static uint64_t coalesce(size_t n, size_t stride)
{
    uint64_t steps = 0;

    scene_open(NULL);
    (void)add_blocked(2 * n, SSE_OVERFLOW_COALESCE, SSE_OUTPUT_CALLBACK);
    for (size_t i = 0; i < n; i++)
        (void)publish_key(i);
    for (size_t i = 0; i < 2 * n; i++)
        steps += publish_key(i * stride % n);
    scene_close();
    return steps / (2 * n);
}

static uint64_t coalesce_the_oldest_key(size_t n)
{
    return coalesce(n, 1);
}

static uint64_t coalesce_the_newest_key(size_t n)
{
    return coalesce(n, 0);
}

static uint64_t coalesce_any_key(size_t n)
{
    return coalesce(n, 617);
}

/* No key comes twice. */
static uint64_t coalesce_distinct_keys(size_t n)
{
    uint64_t steps = 0;

    scene_open(NULL);
    (void)add_blocked(3 * n, SSE_OVERFLOW_COALESCE, SSE_OUTPUT_CALLBACK);
    for (size_t i = 0; i < n; i++)
        (void)publish_key(i);
    for (size_t i = n; i < 2 * n; i++)
        steps += publish_key(i);
    scene_close();
    return steps / n;
}

/* The keys' hashes would collide if the secret were known. */
static uint64_t coalesce_keys_that_would_collide(size_t n)
{
    const struct sse_text *keys;
    uint64_t steps = 0;

    scene_open(NULL);
    (void)add_blocked(2 * n, SSE_OVERFLOW_COALESCE, SSE_OUTPUT_CALLBACK);
    keys = scene_names(NAMES_COLLIDING, n);
    for (size_t i = 0; i < 3 * n; i++) {
        const struct sse_event event = {.data = sse_str("x"), .key = keys[i < n ? i : i * 617 % n]};
        uint64_t one = scene_publish_event(absent, &event);

        steps += i < n ? 0 : one;
    }
    scene_close();
    return steps / (2 * n);
}

/* After a replay, and with events without keys, which must all stay. */
static uint64_t coalesce_behind_events_without_a_key(size_t n)
{
    uint64_t steps = 0;

    scene_open(NULL);
    (void)add_blocked(2 * n, SSE_OVERFLOW_COALESCE, SSE_OUTPUT_CALLBACK);
    (void)scene_publish_many(absent, n, NULL);
    for (size_t i = 0; i < 2 * n; i++)
        steps += publish_key(i % 10);
    scene_close();
    return steps / (2 * n);
}

/* A client reads nothing of its replay, whose n events have one key. They must all stay. */
static uint64_t coalesce_behind_a_replay(size_t n)
{
    const struct sse_event event = {.data = sse_str("x"), .key = sse_str("key")};
    struct sse_emitter_options options;
    uint64_t steps = 0;

    scene_open(&(struct sse_registry_options){.history = {.events = n}, .id_prefix = sse_str("E")});
    for (size_t i = 0; i < n; i++)
        (void)scene_publish_event(absent, &event);
    options = scene_options();
    options.overflow = SSE_OVERFLOW_COALESCE;
    options.last_event_id = scene_id(0);
    scene.full = true;
    (void)scene_add(&options, NULL, 0);
    scene_block();
    for (size_t i = 0; i < n; i++)
        steps += scene_publish_event(absent, &event);
    scene_close();
    return steps / n;
}

/* The slowest reader: it peeks once for each new event. */
static uint64_t coalesce_under_a_slow_reader(size_t n)
{
    struct iovec iov[16];
    struct sse_emitter *emitter;
    uint64_t steps = 0, before;

    scene_open(NULL);
    emitter = add_blocked(2 * n, SSE_OVERFLOW_COALESCE, SSE_OUTPUT_PULL);
    for (size_t i = 0; i < n; i++)
        (void)publish_key(i);
    before = steps_count();
    for (size_t i = 0; i < 2 * n; i++) {
        (void)publish_key(i * 617 % n);
        scene_check(sse_emitter_peek(emitter, iov, 16) > 0, "nothing to look at");
    }
    steps = steps_count() - before;
    scene_close();
    return steps / (2 * n);
}

static uint64_t send_many(size_t n, enum sse_overflow overflow, const char *key)
{
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(NULL);
    emitter = add_blocked(n + 10, overflow, SSE_OUTPUT_CALLBACK);
    (void)scene_publish_many(absent, n, NULL);
    before = steps_count();
    for (size_t i = 0; i < n; i++)
        (void)sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("x"), .key = sse_str(key)});
    before = steps_count() - before;
    scene_close();
    return before / n;
}

static uint64_t send_drop_newest(size_t n)
{
    return send_many(n, SSE_OVERFLOW_DROP_NEWEST, NULL);
}

static uint64_t send_drop_oldest(size_t n)
{
    return send_many(n, SSE_OVERFLOW_DROP_OLDEST, NULL);
}

static uint64_t send_coalesce(size_t n)
{
    return send_many(n, SSE_OVERFLOW_COALESCE, "key");
}

/* A paused emitter is sent its state without a limit. */
static uint64_t send_paused(size_t n)
{
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    options.paused = true;
    scene.full = true;
    emitter = scene_add(&options, NULL, 0);
    before = steps_count();
    for (size_t i = 0; i < n; i++)
        scene_check(!sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("x")}), "not sent");
    before = steps_count() - before;
    scene_close();
    return before / n;
}

static uint64_t close_with_a_queue(size_t n)
{
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    options.queue_messages = 2 * n;
    emitter = scene_add(&options, NULL, 0);
    scene_block();
    (void)scene_publish_many(absent, n, NULL);
    sse_emitter_ref(emitter);
    before = steps_count();
    (void)sse_emitter_abort(emitter, -EPIPE);
    scene_settle();
    before = steps_count() - before;
    sse_emitter_unref(emitter);
    scene_close();
    return before;
}

/* The end drops the events behind a pause, while the lock is held. */
static uint64_t complete_a_paused_one(size_t n)
{
    struct sse_emitter_options options;
    uint64_t before;

    scene_open(NULL);
    options = scene_options();
    options.paused = true;
    options.queue_messages = n;
    (void)scene_add(&options, NULL, 0);
    (void)scene_publish_many(absent, n, NULL);
    before = steps_count();
    scene_check(!sse_registry_complete(scene.registry, absent), "not completed");
    before = steps_count() - before;
    scene_close();
    return before;
}

const struct cost costs_of_queues[] = {
    COST(PUBLISH, "events queued", CONSTANT, 1024, publish_behind_a_queue),
    COST(PUBLISH, "events queued", CONSTANT, 1000, publish_drop_newest),
    COST(PUBLISH, "events queued", CONSTANT, 1000, publish_drop_oldest),
    COST(PUBLISH, "events queued", CONSTANT, 1000, publish_drop_oldest_behind_a_replay),
    COST(PUBLISH, "events queued", CONSTANT, 1000, publish_drop_oldest_behind_a_peek),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_the_oldest_key),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_the_newest_key),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_any_key),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_distinct_keys),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_keys_that_would_collide),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_behind_events_without_a_key),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_behind_a_replay),
    COST(PUBLISH, "events queued", CONSTANT, 1000, coalesce_under_a_slow_reader),
    COST(PUBLISH, "events queued, when a ring is doubled", LINEAR, 1024, publish_as_the_ring_grows),
    COST("emitter_send", "events queued", CONSTANT, 1000, send_drop_newest),
    COST("emitter_send", "events queued", CONSTANT, 1000, send_drop_oldest),
    COST("emitter_send", "events queued", CONSTANT, 1000, send_coalesce),
    COST("emitter_send", "events queued", CONSTANT, 1000, send_paused),
    COST(END, "events queued", LINEAR, 1000, close_with_a_queue),
    COST("registry_complete, shutdown", "events behind pauses", LINEAR, 1000, complete_a_paused_one),
    {.name = NULL},
};

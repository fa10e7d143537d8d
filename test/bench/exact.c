/* SPDX-License-Identifier: MIT */
/* Counts without a clock: memory and allocations by the platform's allocator, and calls of the output. */
#include "figures.h"
#include "steady.h"

#include <stdio.h>
#include <stdlib.h>

#define EMITTERS 10000
#define EVENTS 100

/* The size of a block lies before it. */
#define BLOCK_HEAD 16

struct counter {
    size_t bytes; /* at present */
    size_t allocations;
};

static void *count_allocate(size_t size, void *user)
{
    struct counter *counter = user;
    unsigned char *block = malloc(size + BLOCK_HEAD);

    if (!block)
        return NULL;
    memcpy(block, &size, sizeof(size));
    counter->bytes += size;
    counter->allocations++;
    return block + BLOCK_HEAD;
}

static void count_deallocate(void *block, void *user)
{
    struct counter *counter = user;
    unsigned char *begin = (unsigned char *)block - BLOCK_HEAD;
    size_t size;

    memcpy(&size, begin, sizeof(size));
    counter->bytes -= size;
    free(begin);
}

static struct counter counter;
static const struct sse_platform platform = {
    .size = sizeof(platform), .allocate = count_allocate, .deallocate = count_deallocate, .user = &counter};

/** A registry and a loop with many emitters. */
struct stage {
    struct sse_registry *registry;
    struct sse_loop *loop;
    struct sse_emitter **emitters;
};

static size_t writes;

static ssize_t count_write(void *user, const struct iovec *iov, int count)
{
    size_t size = 0;

    (void)user;
    writes++;
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return (ssize_t)size;
}

static void ignore_wake(struct sse_loop *loop, void *user)
{
    (void)loop;
    (void)user;
}

static void turn(struct sse_loop *loop)
{
    while (!sse_loop_turn(loop))
        continue;
}

static void add_emitters(struct stage *stage, bool own_topic)
{
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &platform,
                                          .registry = stage->registry,
                                          .loop = stage->loop,
                                          .topic_count = 1,
                                          .output = SSE_OUTPUT_CALLBACK,
                                          .write = count_write};

    for (size_t i = 0; i < EMITTERS; i++) {
        char text[32];
        struct sse_text topic = steady_topic(own_topic ? i : 0, text);

        options.topics = &topic;
        steady_check(sse_emitter_new(&stage->emitters[i], &options, NULL), "new");
    }
    turn(stage->loop);
}

static double per_delivery(size_t count)
{
    return (double)count / ((double)EMITTERS * EVENTS);
}

static void publish(const struct stage *stage, const struct sse_event *event)
{
    steady_check(sse_registry_publish(stage->registry, sse_str(NULL), event, NULL), "publish");
}

static void publish_message(const struct stage *stage, struct sse_message *message)
{
    steady_check(sse_registry_publish_message(stage->registry, sse_str(NULL), message, NULL), "publish");
    turn(stage->loop);
}

static void measure_broadcasts(const struct stage *stage)
{
    const struct sse_event event = {.data = sse_str("an event")};
    struct sse_message *message;
    size_t before;

    publish(stage, &event);
    turn(stage->loop);
    before = counter.allocations;
    writes = 0;
    for (size_t i = 0; i < EVENTS; i++) {
        publish(stage, &event);
        turn(stage->loop);
    }
    figure_at_most("allocations_per_broadcast", (double)(counter.allocations - before) / EVENTS,
                   "allocations", 1);
    figure_at_most("writes_per_client_of_an_event", per_delivery(writes), "writes", 1);
    steady_check(sse_message_new(&message, &event, 1, &platform), "message");
    before = counter.allocations;
    for (size_t i = 0; i < EVENTS; i++)
        publish_message(stage, message);
    figure_at_most("allocations_per_delivery", per_delivery(counter.allocations - before), "allocations", 0);
    sse_message_unref(message);
}

/* Sixteen events as one message, and as sixteen publishes before the loop's turn. */
static void measure_bursts(const struct stage *stage)
{
    struct sse_event events[16];
    struct sse_message *message;

    for (size_t i = 0; i < 16; i++)
        events[i] = (struct sse_event){.data = sse_str("an event of sixteen")};
    steady_check(sse_message_new(&message, events, 16, &platform), "message");
    writes = 0;
    publish_message(stage, message);
    figure_at_most("writes_per_client_of_a_batch_of_16", (double)writes / EMITTERS, "writes", 1);
    sse_message_unref(message);
    writes = 0;
    for (size_t i = 0; i < 16; i++)
        publish(stage, &events[i]);
    turn(stage->loop);
    figure_at_most("writes_per_client_of_16_publishes", (double)writes / EMITTERS, "writes", 1);
}

static void measure(bool own_topic, const char *heap_name)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &platform};
    const struct sse_loop_options driven = {
        .size = sizeof(driven), .platform = &platform, .on_wake = ignore_wake};
    struct stage stage = {.emitters = calloc(EMITTERS, sizeof(struct sse_emitter *))};
    size_t before = counter.bytes;

    steady_check(stage.emitters ? 0 : -1, "calloc");
    steady_check(sse_registry_new(&stage.registry, &options), "registry");
    steady_check(sse_loop_new(&stage.loop, &driven), "loop");
    add_emitters(&stage, own_topic);
    figure_at_most(heap_name, (double)(counter.bytes - before) / EMITTERS, "bytes", 320);
    if (!own_topic) {
        measure_broadcasts(&stage);
        measure_bursts(&stage);
    }
    for (size_t i = 0; i < EMITTERS; i++)
        sse_emitter_close(stage.emitters[i]);
    sse_loop_free(stage.loop);
    sse_registry_unref(stage.registry);
    free(stage.emitters);
}

/* A token is written directly to a descriptor. */
static void measure_sends(void)
{
    const struct sse_event event = {.data = sse_str("12345678901234567890")};
    struct steady steady;
    size_t before;

    steady_open(&steady, &(struct steady_options){.count = 1000, .sockets = true, .platform = &platform});
    before = counter.allocations;
    for (size_t i = 0; i < EVENTS; i++) {
        for (size_t at = 0; at < steady.count; at++)
            steady_check(sse_emitter_send(steady.emitters[at], &event), "send");
        steady_drain(&steady);
    }
    figure_at_most("allocations_per_token", (double)(counter.allocations - before) / (EVENTS * 1000.0),
                   "allocations", 0);
    steady_close(&steady);
}

int main(void)
{
    measure(false, "heap_per_idle_emitter_in_one_topic");
    measure(true, "heap_per_idle_emitter_with_a_topic_of_its_own");
    measure_sends();
    steady_check(counter.bytes ? -1 : 0, "bytes that nobody released");
    return 0;
}

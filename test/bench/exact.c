/* SPDX-License-Identifier: MIT */
/* What can be counted without a clock: memory by the allocator hook, allocations, calls of the sink. */
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

static void count_release(void *block, void *user)
{
    struct counter *counter = user;
    unsigned char *begin = (unsigned char *)block - BLOCK_HEAD;
    size_t size;

    memcpy(&size, begin, sizeof(size));
    counter->bytes -= size;
    free(begin);
}

static struct counter counter;
static const struct sse_host host = {
    .size = sizeof(host), .allocate = count_allocate, .release = count_release, .user = &counter};

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

static void add_emitters(struct sse_registry *registry, struct sse_emitter **emitters, bool own_topic)
{
    struct sse_emitter_options options = {
        .size = sizeof(options), .host = &host, .drain = SSE_DRAIN_CALLBACK, .write = count_write};

    for (size_t i = 0; i < EMITTERS; i++) {
        char text[32];
        struct sse_str topic = steady_topic(own_topic ? i : 0, text);

        steady_check(sse_emitter_new(&emitters[i], &options), "new");
        steady_check(
            sse_registry_subscribe(registry, emitters[i], &topic, 1, (struct sse_str){.ptr = NULL}, NULL),
            "subscribe");
    }
}

static double per_delivery(size_t count)
{
    return (double)count / ((double)EMITTERS * EVENTS);
}

static void measure_broadcasts(struct sse_registry *registry)
{
    const struct sse_event event = {.data = sse_str("an event")};
    struct sse_message *message;
    size_t before;

    steady_check(sse_registry_broadcast(registry, &event, NULL), "broadcast");
    before = counter.allocations;
    writes = 0;
    for (size_t i = 0; i < EVENTS; i++)
        steady_check(sse_registry_broadcast(registry, &event, NULL), "broadcast");
    figure_at_most("allocations_per_broadcast", (double)(counter.allocations - before) / EVENTS,
                   "allocations", 1);
    figure_at_most("writes_per_client_of_an_event", per_delivery(writes), "writes", 1);
    steady_check(sse_message_new(&message, &event, 1, &host), "message");
    before = counter.allocations;
    for (size_t i = 0; i < EVENTS; i++)
        steady_check(sse_registry_broadcast_message(registry, message, NULL), "broadcast");
    figure_at_most("allocations_per_delivery", per_delivery(counter.allocations - before), "allocations", 0);
    sse_message_unref(message);
}

static void measure_sends(struct sse_emitter **emitters)
{
    const struct sse_event event = {.data = sse_str("12345678901234567890")};
    size_t before = counter.allocations;

    for (size_t i = 0; i < EVENTS; i++)
        for (size_t at = 0; at < EMITTERS; at++)
            steady_check(sse_emitter_send(emitters[at], &event), "send");
    figure_at_most("allocations_per_token", per_delivery(counter.allocations - before), "allocations", 0);
}

/* The sixteen as one message, and as sixteen calls whose writing is held back. */
static void measure_bursts(struct sse_registry *registry)
{
    struct sse_event events[16];
    struct sse_message *message;

    for (size_t i = 0; i < 16; i++)
        events[i] = (struct sse_event){.data = sse_str("an event of sixteen")};
    steady_check(sse_message_new(&message, events, 16, &host), "message");
    writes = 0;
    steady_check(sse_registry_broadcast_message(registry, message, NULL), "broadcast");
    figure_at_most("writes_per_client_of_a_batch_of_16", (double)writes / EMITTERS, "writes", 1);
    sse_message_unref(message);
    writes = 0;
    steady_check(sse_registry_hold(registry), "hold");
    for (size_t i = 0; i < 16; i++)
        steady_check(sse_registry_broadcast(registry, &events[i], NULL), "broadcast");
    steady_check(sse_registry_release(registry), "release");
    figure_at_most("writes_per_client_of_16_held_publishes", (double)writes / EMITTERS, "writes", 1);
}

static void measure(bool own_topic, const char *heap_name)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &host, .on_wake = steady_ignore_wake};
    struct sse_emitter **emitters = calloc(EMITTERS, sizeof(*emitters));
    struct sse_registry *registry;
    size_t before = counter.bytes;

    steady_check(emitters ? 0 : -1, "calloc");
    steady_check(sse_registry_new(&registry, &options), "registry");
    add_emitters(registry, emitters, own_topic);
    figure_at_most(heap_name, (double)(counter.bytes - before) / EMITTERS, "bytes", 320);
    if (!own_topic) {
        measure_broadcasts(registry);
        measure_sends(emitters);
        measure_bursts(registry);
    }
    for (size_t i = 0; i < EMITTERS; i++)
        sse_emitter_unref(emitters[i]);
    sse_registry_unref(registry);
    free(emitters);
}

int main(void)
{
    measure(false, "heap_per_idle_emitter_in_one_topic");
    measure(true, "heap_per_idle_emitter_with_a_topic_of_its_own");
    steady_check(counter.bytes ? -1 : 0, "bytes that nobody gave back");
    return 0;
}

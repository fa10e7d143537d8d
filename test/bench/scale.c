/* SPDX-License-Identifier: MIT */
/*
 * One registry with few and with very many emitters, each with its own topic and an output that only counts. The
 * cost of a call must not depend on their number.
 *
 *   scale [MANY]
 */
#include "figures.h"
#include "steady.h"

#include <stdio.h>
#include <stdlib.h>

#define FEW 1000
#define MANY 1000000
#define ROUNDS 9
#define PUBLISHES 20000
#define REPLAY_CLIENTS 200
#define TURNS 100000
#define HELD 100000

struct costs {
    double subscribe;
    double publish;
    double broadcast; /* per emitter */
    double turn;
    double complete;
};

static double since(uint64_t begin, size_t count)
{
    return (double)(figure_cpu_now() - begin) / (double)count;
}

/* Each time another one, far from the one before. */
static size_t scatter(size_t number, size_t count)
{
    return (size_t)((number * UINT64_C(2654435761)) % count);
}

static double publish_to_one_of_all(struct steady *steady)
{
    const struct sse_event event = {.data = sse_str("an event")};
    double rounds[ROUNDS];
    char text[32];

    for (size_t round = 0; round < ROUNDS; round++) {
        uint64_t begin = figure_cpu_now();

        for (size_t i = 0; i < PUBLISHES; i++)
            steady_check(sse_registry_publish(steady->registry,
                                              steady_topic(scatter(i + round, steady->count), text), &event,
                                              NULL),
                         "publish");
        steady_turn(steady);
        rounds[round] = since(begin, PUBLISHES);
    }
    return figure_median(rounds, ROUNDS);
}

static double broadcast(struct steady *steady)
{
    const struct sse_event event = {.data = sse_str("an event")};
    size_t repeats = steady->count < MANY ? MANY / steady->count : 1;
    double rounds[ROUNDS];

    for (size_t round = 0; round < ROUNDS; round++) {
        uint64_t begin = figure_cpu_now();

        for (size_t i = 0; i < repeats; i++) {
            steady_check(sse_registry_publish(steady->registry, sse_str(NULL), &event, NULL), "publish");
            steady_turn(steady);
        }
        rounds[round] = since(begin, repeats * steady->count);
    }
    return figure_median(rounds, ROUNDS);
}

static double turn(struct steady *steady)
{
    uint64_t begin = figure_cpu_now();

    for (size_t i = 0; i < TURNS; i++)
        steady_turn(steady);
    return since(begin, TURNS);
}

static double complete_all(struct steady *steady)
{
    uint64_t begin = figure_cpu_now();

    for (size_t i = 0; i < steady->count; i++)
        steady_check(sse_emitter_complete(steady->emitters[scatter(i, steady->count)]), "complete");
    steady_turn(steady);
    return since(begin, steady->count);
}

static struct costs measure(size_t count)
{
    struct steady steady;
    struct costs costs;
    uint64_t begin = figure_cpu_now();

    steady_open(&steady, &(struct steady_options){.count = count, .topics = true});
    costs.subscribe = since(begin, count);
    costs.publish = publish_to_one_of_all(&steady);
    costs.broadcast = broadcast(&steady);
    costs.turn = turn(&steady);
    costs.complete = complete_all(&steady);
    steady_close(&steady);
    return costs;
}

/* Nanoseconds for each of some clients that reconnect. */
static double replay_to_clients(struct steady *steady, struct sse_text topic, const char *id)
{
    struct sse_emitter *clients[REPLAY_CLIENTS];
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .registry = steady->registry,
                                                .loop = steady->loop,
                                                .topics = &topic,
                                                .topic_count = 1,
                                                .last_event_id = sse_str(id),
                                                .output = SSE_OUTPUT_PULL};
    double spent = 0;

    for (size_t i = 0; i < REPLAY_CLIENTS; i++) {
        struct sse_replay replay;
        uint64_t begin = figure_cpu_now();

        steady_check(sse_emitter_new(&clients[i], &options, &replay), "new");
        spent += since(begin, REPLAY_CLIENTS);
        steady_check(replay.messages == 100 ? 0 : -1, "a hundred are replayed");
    }
    for (size_t i = 0; i < REPLAY_CLIENTS; i++)
        sse_emitter_close(clients[i]);
    steady_turn(steady);
    return spent;
}

/* Reconnects with the id of the hundredth event from the end. */
static double replay(size_t held)
{
    const struct sse_event event = {.data = sse_str("an event")};
    const struct sse_text topic = sse_str("topic-0");
    struct sse_delivery delivery;
    char id[SSE_ASSIGNED_ID_SIZE] = "";
    struct steady steady;
    double rounds[ROUNDS];

    steady_open(&steady, &(struct steady_options){.history = {.events = held, .bytes = (size_t)1 << 30}});
    for (size_t i = 0; i < held + 1; i++) {
        steady_check(sse_registry_publish(steady.registry, topic, &event, &delivery), "publish");
        if (i == held - 100)
            memcpy(id, delivery.id, sizeof(id));
    }
    for (size_t round = 0; round < ROUNDS; round++)
        rounds[round] = replay_to_clients(&steady, topic, id);
    steady_close(&steady);
    return figure_median(rounds, ROUNDS);
}

int main(int argc, char **argv)
{
    size_t many = argc > 1 ? strtoul(argv[1], NULL, 10) : MANY;
    struct costs at_few = measure(FEW);
    struct costs at_many = measure(many);
    double replay_of_few = replay(HELD / 100);
    double replay_of_many = replay(HELD);

    figure_plain("scale_emitters_and_topics", (double)many, "emitters");
    figure_plain("scale_subscribe", at_many.subscribe, "ns");
    figure_at_most("scale_subscribe_many_over_few", at_many.subscribe / at_few.subscribe, "ratio", 2);
    figure_plain("scale_publish_to_one", at_many.publish, "ns");
    figure_at_most("scale_publish_to_one_many_over_few", at_many.publish / at_few.publish, "ratio", 2);
    figure_plain("scale_complete", at_many.complete, "ns");
    figure_at_most("scale_complete_many_over_few", at_many.complete / at_few.complete, "ratio", 2);
    figure_plain("scale_broadcast_to_few", at_few.broadcast, "ns");
    figure_at_most("scale_broadcast_per_emitter", at_many.broadcast, "ns", 60);
    figure_at_most("scale_turn_with_nothing_due", at_many.turn, "ns", 1000);
    figure_plain("scale_replay_of_100", replay_of_many, "ns");
    figure_at_most("scale_replay_of_100_of_100000_over_of_1000", replay_of_many / replay_of_few, "ratio",
                   1.2);
    return 0;
}

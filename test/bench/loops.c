/* SPDX-License-Identifier: MIT */
/*
 * One registry and several loops. First, with a core for each loop: how much sooner an event has been written to
 * all clients, beside two threads that only call send(). The clients belong to another process, which reads while
 * nothing is measured. Second, eight loops on fewer cores, with outputs that only count: how much more CPU time a
 * delivery needs than with one loop.
 *
 *   loops [ROUNDS [CLIENTS]], with 0 for CLIENTS the second alone
 */
/* For the cores that a thread may run on. */
#define _GNU_SOURCE
#include "cores.h"
#include "figures.h"
#include "files.h"
#include "loops_bare.h"
#include "loops_peers.h"
#include "steady.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 9
#define PUBLISHES 16 /* events in a round; the peers have room for all */
#define DATA_MAX 1024
#define SIZES 2
#define LOOPS_MAX 8
#define COUNTED_CLIENTS 10000
#define COUNTED_PUBLISHES 100
#define ANY_CORE SIZE_MAX

static const size_t sizes[SIZES] = {100, DATA_MAX};

/** A loop and the thread that runs it. */
struct lane {
    struct sse_loop *loop;
    pthread_t thread;
    size_t core;
};

/** Loops that share a registry, with their clients. */
struct stage {
    struct sse_registry *registry;
    struct lane lanes[LOOPS_MAX];
    size_t lane_count;
    size_t clients;
    struct peers peers;
    uint64_t written; /* events, over all clients */
};

/** Results of the rounds, in nanoseconds. */
struct times {
    double whole[ROUNDS * 4];   /* from publish to the last byte */
    double publish[ROUNDS * 4]; /* inside publish, for each receiver */
    size_t count;
};

static uint64_t wall_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;

    if (lane->core != ANY_CORE)
        stay_on_core(lane->core);
    steady_check(sse_loop_run(lane->loop), "run");
    return NULL;
}

static uint64_t events_written(struct stage *stage)
{
    struct sse_registry_stats stats;

    steady_check(sse_registry_get_stats(stage->registry, &stats, sizeof(stats)), "stats");
    return stats.events_written;
}

/* Serves the loop of this thread until all loops have written everything. */
static void serve(struct stage *stage)
{
    while (events_written(stage) < stage->written)
        steady_check(sse_loop_dispatch(stage->lanes[0].loop, 0), "dispatch");
}

static void open_client(struct stage *stage, size_t index)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = stage->registry,
        .loop = stage->lanes[index % stage->lane_count].loop,
        .output = SSE_OUTPUT_FD,
        .fd = peers_accept(&stage->peers),
        .heartbeat_ms = SSE_TIMER_OFF,
    };

    steady_check(sse_emitter_new(NULL, &options, NULL), "new");
}

static void open_loops(struct stage *stage, size_t lanes, size_t clients, bool pinned)
{
    stage->lane_count = lanes;
    stage->clients = clients;
    steady_check(sse_registry_new(&stage->registry, NULL), "registry");
    for (size_t i = 0; i < lanes; i++) {
        stage->lanes[i].core = pinned ? i : ANY_CORE;
        steady_check(sse_loop_new(&stage->lanes[i].loop, NULL), "loop");
    }
}

static void run_lanes(struct stage *stage, size_t first)
{
    for (size_t i = first; i < stage->lane_count; i++)
        steady_check(pthread_create(&stage->lanes[i].thread, NULL, run_lane, &stage->lanes[i]), "thread");
}

static void close_loops(struct stage *stage, size_t first)
{
    for (size_t i = first; i < stage->lane_count; i++) {
        steady_check(sse_loop_stop(stage->lanes[i].loop), "stop");
        pthread_join(stage->lanes[i].thread, NULL);
    }
    for (size_t i = 0; i < stage->lane_count; i++)
        sse_loop_free(stage->lanes[i].loop);
    sse_registry_unref(stage->registry);
}

/* The first loop belongs to this thread. Each other loop gets a thread. */
static void open_stage(struct stage *stage, size_t lanes, size_t clients)
{
    open_loops(stage, lanes, clients, true);
    for (size_t i = 0; i < clients; i++)
        open_client(stage, i);
    run_lanes(stage, 1);
}

static void close_stage(struct stage *stage)
{
    close_loops(stage, 1);
    peers_close(&stage->peers);
}

static void publish(struct stage *stage, size_t size, double *whole, double *inside)
{
    static char text[DATA_MAX];
    const struct sse_event event = {.data = {text, size}, .trusted_utf8 = true};
    uint64_t begun = wall_now();

    steady_check(sse_registry_publish(stage->registry, sse_str(NULL), &event, NULL), "publish");
    *inside = (double)(wall_now() - begun) / (double)stage->clients;
    stage->written += stage->clients;
    serve(stage);
    *whole = (double)(wall_now() - begun);
}

static void measure_round(struct stage *stage, size_t size, struct times *times)
{
    double whole[PUBLISHES], inside[PUBLISHES];

    for (size_t i = 0; i < PUBLISHES; i++)
        publish(stage, size, &whole[i], &inside[i]);
    peers_drain(&stage->peers);
    times->whole[times->count] = figure_median(whole, PUBLISHES);
    times->publish[times->count++] = figure_median(inside, PUBLISHES);
}

/* The same without the library. */
static void measure_bare(size_t lanes, size_t clients, struct times times[SIZES])
{
    struct bare bare;

    bare_open(&bare, lanes, clients);
    for (size_t i = 0; i < SIZES; i++) {
        double whole[PUBLISHES];

        for (size_t event = 0; event < PUBLISHES; event++) {
            uint64_t begun = wall_now();

            bare_send(&bare, sizes[i]);
            whole[event] = (double)(wall_now() - begun);
        }
        peers_drain(&bare.peers);
        times[i].whole[times[i].count++] = figure_median(whole, PUBLISHES);
    }
    bare_close(&bare);
}

static double two_over_one(struct times *one, struct times *two)
{
    return figure_median(one->whole, one->count) / figure_median(two->whole, two->count);
}

static void print_times(size_t clients, size_t size, struct times *one, struct times *two)
{
    char name[96];

    snprintf(name, sizeof(name), "loops_two_over_one_%zu_clients_%zu_B", clients, size);
    figure_at_least(name, two_over_one(one, two), "ratio", 1.8);
    snprintf(name, sizeof(name), "publish_ns_per_receiver_one_loop_%zu_clients_%zu_B", clients, size);
    figure_at_most(name, figure_median(one->publish, one->count), "ns", 60);
    snprintf(name, sizeof(name), "publish_ns_per_receiver_two_loops_%zu_clients_%zu_B", clients, size);
    figure_at_most(name, figure_median(two->publish, two->count), "ns", 60);
}

static void measure_stage(size_t lanes, size_t clients, struct times times[SIZES])
{
    struct stage stage = {.written = 0};

    /* Their process inherits the open descriptors. */
    peers_open(&stage.peers, clients);
    open_stage(&stage, lanes, clients);
    for (size_t i = 0; i < SIZES; i++)
        measure_round(&stage, sizes[i], &times[i]);
    close_stage(&stage);
}

/* One stage at a time, so that its descriptors are all that the limit of open files must allow. */
static void measure(size_t clients, size_t rounds)
{
    struct times one[SIZES] = {{.count = 0}}, two[SIZES] = {{.count = 0}};
    struct times bare_one[SIZES] = {{.count = 0}}, bare_two[SIZES] = {{.count = 0}};
    char name[96];

    stay_on_core(0);
    for (size_t round = 0; round < rounds; round++) {
        measure_stage(1, clients, one);
        measure_stage(2, clients, two);
        measure_bare(1, clients, bare_one);
        measure_bare(2, clients, bare_two);
    }
    for (size_t i = 0; i < SIZES; i++) {
        print_times(clients, sizes[i], &one[i], &two[i]);
        snprintf(name, sizeof(name), "loops_bare_two_over_one_%zu_clients_%zu_B", clients, sizes[i]);
        figure_plain(name, two_over_one(&bare_one[i], &bare_two[i]), "ratio");
        snprintf(name, sizeof(name), "loops_two_over_bare_two_%zu_clients_%zu_B", clients, sizes[i]);
        figure_plain(name, two_over_one(&two[i], &bare_two[i]), "ratio");
    }
}

static ssize_t take_all(void *user, const struct iovec *iov, int count)
{
    ssize_t size = 0;

    (void)user;
    for (int i = 0; i < count; i++)
        size += (ssize_t)iov[i].iov_len;
    return size;
}

static void open_counted(struct stage *stage, size_t lanes)
{
    struct sse_emitter *emitter;

    *stage = (struct stage){.written = 0};
    open_loops(stage, lanes, COUNTED_CLIENTS, false);
    for (size_t i = 0; i < COUNTED_CLIENTS; i++) {
        const struct sse_emitter_options options = {
            .size = sizeof(options),
            .registry = stage->registry,
            .loop = stage->lanes[i % lanes].loop,
            .output = SSE_OUTPUT_CALLBACK,
            .write = take_all,
            .heartbeat_ms = SSE_TIMER_OFF,
        };

        steady_check(sse_emitter_new(&emitter, &options, NULL), "new");
        /* The loop keeps it. */
        sse_emitter_unref(emitter);
    }
    run_lanes(stage, 0);
}

static uint64_t process_cpu_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

/* The CPU time of this part does not belong to the library. */
static uint64_t await_written(struct stage *stage)
{
    const struct timespec nap = {.tv_nsec = 100000};
    uint64_t begun = figure_cpu_now();

    while (events_written(stage) < stage->written)
        nanosleep(&nap, NULL);
    return figure_cpu_now() - begun;
}

static double cpu_per_delivery(struct stage *stage)
{
    const struct sse_event event = {.data = sse_str("an event")};
    uint64_t begun = process_cpu_now(), waiting = 0;

    for (size_t i = 0; i < COUNTED_PUBLISHES; i++) {
        steady_check(sse_registry_publish(stage->registry, sse_str(NULL), &event, NULL), "publish");
        stage->written += stage->clients;
        waiting += await_written(stage);
    }
    return (double)(process_cpu_now() - begun - waiting) / (double)(COUNTED_PUBLISHES * stage->clients);
}

static void measure_counted(size_t rounds)
{
    double ratios[ROUNDS * 4], of_one[ROUNDS * 4];
    struct stage one, many;

    open_counted(&one, 1);
    open_counted(&many, LOOPS_MAX);
    for (size_t i = 0; i < rounds; i++) {
        of_one[i] = cpu_per_delivery(&one);
        ratios[i] = cpu_per_delivery(&many) / of_one[i];
    }
    figure_plain("loops_cpu_per_delivery_counted", figure_median(of_one, rounds), "ns");
    figure_at_most("loops_cpu_eight_over_one", figure_median(ratios, rounds), "ratio", 1.2);
    close_loops(&one, 0);
    close_loops(&many, 0);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    size_t files = files_raise_limit(), many = files < 10000 ? files : 10000;

    rounds = rounds && rounds <= ROUNDS * 4 ? rounds : ROUNDS;
    if (argc > 2 && strtoul(argv[2], NULL, 10)) {
        measure(strtoul(argv[2], NULL, 10), rounds);
        return 0;
    }
    measure_counted(rounds);
    if (argc > 2)
        return 0;
    measure(1000, rounds);
    measure(many, rounds);
    return 0;
}

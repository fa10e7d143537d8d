/* SPDX-License-Identifier: MIT */
/*
 * One registry and two threads, with write callbacks that only count. First, both publish, each to its own topic:
 * how much more they achieve than one alone. Second, one broadcasts while the other adds and removes emitters: how
 * much longer its calls take. Third, the longest of many additions, because others may wait that long.
 *
 *   threads [ROUNDS [SUBSCRIBERS]]
 */
/* For the cores that a thread may run on. */
#define _GNU_SOURCE
#include "figures.h"
#include "steady.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* Rounds are short, so that many pass without another program on one of the cores. Disturbed rounds are not
 * counted. */
#define ROUNDS 1000
#define ROUNDS_MIN 5
#define COUNTED_MAX 51
#define DELIVERIES 50000 /* of one thread in one round */
#define PUBLISHES_MAX 4000

#define AUDIENCE 1000
#define BROADCASTS 100 /* events in a round */
#define BUCKETS 64
#define ADDED 100000
#define ADD_REPEATS 3

static uint64_t wall_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

/** The data of a thread on separate cache lines, because the bench's own counters must not influence the
 *  measurement. */
struct part {
    struct sse_registry *registry;
    struct sse_loop *loop; /* its own */
    struct sse_text topic;
    char name[32];
    size_t publishes; /* in a round */
    size_t core;
    atomic_size_t *awaited; /* threads that have not begun */
    uint64_t begun;
    uint64_t ended;
    uint64_t cpu;
    bool alone; /* no other program had the core */
    uint64_t taken;
    unsigned char apart[256];
};

static ssize_t take_all(void *user, const struct iovec *iov, int count)
{
    struct part *part = user;
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    part->taken += size;
    return (ssize_t)size;
}

static void ignore_wake(struct sse_loop *loop, void *user)
{
    (void)loop;
    (void)user;
}

static void open_part(struct part *part, struct sse_registry *registry)
{
    const struct sse_loop_options driven = {.size = sizeof(driven), .on_wake = ignore_wake};

    part->registry = registry;
    steady_check(sse_loop_new(&part->loop, &driven), "loop");
}

static void turn(struct part *part)
{
    while (!sse_loop_turn(part->loop))
        continue;
}

static struct sse_emitter *add_emitter(struct part *part)
{
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .registry = part->registry,
                                                .loop = part->loop,
                                                .topics = &part->topic,
                                                .topic_count = 1,
                                                .output = SSE_OUTPUT_CALLBACK,
                                                .write = take_all,
                                                .user = part};
    struct sse_emitter *emitter;

    steady_check(sse_emitter_new(&emitter, &options, NULL), "new");
    return emitter;
}

/* The loop keeps them. */
static void add_emitters(struct part *part, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sse_emitter_unref(add_emitter(part));
    turn(part);
}

static void close_part(struct part *part)
{
    sse_loop_free(part->loop);
    sse_registry_unref(part->registry);
}

static struct sse_registry *new_registry(void)
{
    struct sse_registry *registry;

    steady_check(sse_registry_new(&registry, NULL), "registry");
    return registry;
}

static void publish_all(struct part *part)
{
    const struct sse_event event = {.data = sse_str("an event")};

    for (size_t i = 0; i < part->publishes; i++) {
        steady_check(sse_registry_publish(part->registry, part->topic, &event, NULL), "publish");
        turn(part);
    }
}

/* How often another program has run on this thread's core. */
static long interruptions(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

/* Otherwise the scheduler would start both on one core. */
static void stay_on_core(size_t number)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(number, &cores);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
}

static void *run_publishes(void *argument)
{
    struct part *part = argument;
    long interrupted;
    uint64_t cpu;

    stay_on_core(part->core);
    atomic_fetch_sub(part->awaited, 1);
    while (atomic_load(part->awaited))
        continue;
    interrupted = interruptions();
    cpu = figure_cpu_now();
    part->begun = wall_now();
    publish_all(part);
    part->ended = wall_now();
    part->cpu = figure_cpu_now() - cpu;
    part->alone = interruptions() == interrupted;
    return NULL;
}

/* The time from the first start to the last end, with one thread or two. */
static double elapsed(struct part *parts, size_t count)
{
    pthread_t threads[2];
    atomic_size_t awaited = count;
    uint64_t begun, ended;

    for (size_t i = 0; i < count; i++) {
        parts[i].awaited = &awaited;
        steady_check(pthread_create(&threads[i], NULL, run_publishes, &parts[i]), "thread");
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    begun = parts[0].begun;
    ended = parts[0].ended;
    for (size_t i = 1; i < count; i++) {
        begun = parts[i].begun < begun ? parts[i].begun : begun;
        ended = parts[i].ended > ended ? parts[i].ended : ended;
    }
    return (double)(ended - begun);
}

/** Results of the rounds: how much two threads achieve compared with one. */
struct ratios {
    double wall[COUNTED_MAX];
    double cpu[COUNTED_MAX]; /* of both threads, for each delivery, divided by that of one alone */
    size_t count;
};

static void measure_round(struct part *parts, struct ratios *ratios)
{
    double one = elapsed(parts, 1), two, cpu_of_one = (double)parts[0].cpu;
    bool alone = parts[0].alone;

    two = elapsed(parts, 2);
    if (!alone || !parts[0].alone || !parts[1].alone || ratios->count == COUNTED_MAX)
        return;
    ratios->wall[ratios->count] = 2 * one / two;
    ratios->cpu[ratios->count++] = (double)(parts[0].cpu + parts[1].cpu) / (2 * cpu_of_one);
}

static void open_parts(struct part *parts, size_t subscribers, bool shared)
{
    size_t publishes = DELIVERIES / subscribers;

    for (size_t i = 0; i < 2; i++) {
        struct part *part = &parts[i];

        *part = (struct part){.core = i, .publishes = publishes < PUBLISHES_MAX ? publishes : PUBLISHES_MAX};
        open_part(part, shared && i ? sse_registry_ref(parts[0].registry) : new_registry());
        part->topic = steady_topic(i, part->name);
        add_emitters(part, subscribers);
    }
}

static void close_parts(struct part *parts)
{
    close_part(&parts[0]);
    close_part(&parts[1]);
}

static void print_skipped(const char *name, const struct ratios *ratios)
{
    printf("%s - ratio skipped\n# %zu rounds had two cores to themselves\n", name, ratios->count);
}

static void print_publishing(size_t subscribers, struct ratios *shared, struct ratios *apart)
{
    char name[64];

    snprintf(name, sizeof(name), "threads_two_over_one_topics_of_%zu", subscribers);
    if (shared->count < ROUNDS_MIN || apart->count < ROUNDS_MIN) {
        print_skipped(name, shared);
        return;
    }
    figure_at_least(name, figure_median(shared->wall, shared->count), "ratio", 1.6);
    snprintf(name, sizeof(name), "threads_cpu_two_over_one_topics_of_%zu", subscribers);
    figure_plain(name, figure_median(shared->cpu, shared->count), "ratio");
    snprintf(name, sizeof(name), "threads_two_over_one_with_a_registry_each_%zu", subscribers);
    figure_plain(name, figure_median(apart->wall, apart->count), "ratio");
}

/* Each thread has its own registry. This is the best that the machine's two cores can give. */
static void measure_publishing(size_t subscribers, size_t rounds)
{
    static struct part of_one[2], of_two[2];
    struct ratios shared = {.count = 0}, apart = {.count = 0};

    open_parts(of_one, subscribers, true);
    open_parts(of_two, subscribers, false);
    for (size_t i = 0; i < rounds && (shared.count < COUNTED_MAX || apart.count < COUNTED_MAX); i++) {
        measure_round(of_one, &shared);
        measure_round(of_two, &apart);
    }
    print_publishing(subscribers, &shared, &apart);
    close_parts(of_one);
    close_parts(of_two);
}

/** Times of broadcasts, and what the other thread did meanwhile. */
struct latencies {
    double *values;
    size_t count;
    double additions[COUNTED_MAX + 1]; /* nanoseconds of one addition and removal, by the round */
    size_t rounds;
};

/** The thread that adds and removes. */
struct churn {
    struct part part;
    atomic_bool stop;
    size_t additions;
};

static void *run_churn(void *argument)
{
    struct churn *churn = argument;
    long interrupted;

    atomic_fetch_sub(churn->part.awaited, 1);
    while (atomic_load(churn->part.awaited))
        continue;
    interrupted = interruptions();
    churn->part.begun = wall_now();
    for (churn->additions = 0; !atomic_load(&churn->stop); churn->additions++) {
        struct sse_emitter *emitter = add_emitter(&churn->part);

        steady_check(sse_emitter_complete(emitter), "complete");
        sse_emitter_close(emitter);
        turn(&churn->part);
    }
    churn->part.ended = wall_now();
    churn->part.alone = interruptions() == interrupted;
    return NULL;
}

/* Whether no other program had the core. */
static bool time_broadcasts(struct part *audience, double *values)
{
    const struct sse_event event = {.data = sse_str("an event")};
    long interrupted = interruptions();

    for (size_t i = 0; i < BROADCASTS; i++) {
        uint64_t begun = wall_now();

        steady_check(sse_registry_publish(audience->registry, sse_str(NULL), &event, NULL), "publish");
        turn(audience);
        values[i] = (double)(wall_now() - begun);
    }
    return interruptions() == interrupted;
}

static void churn_round(struct part *audience, struct churn *churn, struct latencies *latencies)
{
    atomic_size_t awaited = 2;
    pthread_t thread;
    bool alone;

    churn->part.awaited = &awaited;
    atomic_store(&churn->stop, false);
    /* A new thread starts on the core of the thread that made it. */
    stay_on_core(churn->part.core);
    steady_check(pthread_create(&thread, NULL, run_churn, churn), "thread");
    stay_on_core(0);
    atomic_fetch_sub(&awaited, 1);
    while (atomic_load(&awaited))
        continue;
    alone = time_broadcasts(audience, latencies->values + latencies->count);
    atomic_store(&churn->stop, true);
    pthread_join(thread, NULL);
    latencies->additions[latencies->rounds] =
        (double)(churn->part.ended - churn->part.begun) / (double)(churn->additions + 1);
    if (!alone || !churn->part.alone || latencies->rounds == COUNTED_MAX)
        return;
    latencies->count += BROADCASTS;
    latencies->rounds++;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double percentile(const struct latencies *latencies, size_t percent)
{
    qsort(latencies->values, latencies->count, sizeof(double), compare);
    return latencies->values[(latencies->count - 1) * percent / 100];
}

static void print_histogram(const char *what, const struct latencies *latencies)
{
    size_t buckets[BUCKETS] = {0};
    char name[96];

    for (size_t i = 0; i < latencies->count; i++) {
        size_t bucket = 0;

        while (bucket < BUCKETS - 1 && latencies->values[i] >= (double)(UINT64_C(1) << bucket))
            bucket++;
        buckets[bucket]++;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        snprintf(name, sizeof(name), "threads_broadcasts_beside_additions_%s_below_%" PRIu64 "_ns", what,
                 UINT64_C(1) << i);
        if (buckets[i])
            figure_plain(name, 100 * (double)buckets[i] / (double)latencies->count, "percent");
    }
}

/* The work for one emitter is an addition and its removal without another user of the registry. */
static void print_churn(struct latencies *apart, struct latencies *shared)
{
    double addition = figure_median(apart->additions, apart->rounds);
    double p50 = percentile(apart, 50), p99 = percentile(apart, 99);

    figure_plain("threads_addition_and_removal", addition, "ns");
    figure_plain("threads_broadcast_beside_additions_elsewhere_p50", p50, "ns");
    figure_plain("threads_broadcast_beside_additions_elsewhere_p99", p99, "ns");
    figure_at_most("threads_broadcast_p50_longer_by_additions", (percentile(shared, 50) - p50) / addition,
                   "additions", 1);
    figure_at_most("threads_broadcast_p99_longer_by_additions", (percentile(shared, 99) - p99) / addition,
                   "additions", 1);
    print_histogram("elsewhere", apart);
    print_histogram("here", shared);
}

static void open_churn(struct churn *churn, struct latencies *latencies, struct sse_registry *registry)
{
    churn->part = (struct part){.core = 1};
    open_part(&churn->part, sse_registry_ref(registry));
    churn->part.topic = steady_topic(1, churn->part.name);
    *latencies = (struct latencies){.values = calloc((COUNTED_MAX + 1) * BROADCASTS, sizeof(double))};
    steady_check(latencies->values ? 0 : -1, "calloc");
}

/* The other thread adds to another registry: the mutual cost of two threads on this machine. */
static void measure_churn(size_t rounds)
{
    static struct churn in_other, in_same;
    static struct part audience;
    struct latencies apart, shared;
    struct sse_registry *other = new_registry();

    audience = (struct part){.core = 0};
    open_part(&audience, new_registry());
    audience.topic = steady_topic(0, audience.name);
    add_emitters(&audience, AUDIENCE);
    open_churn(&in_other, &apart, other);
    open_churn(&in_same, &shared, audience.registry);
    for (size_t i = 0; i < rounds && (apart.rounds < COUNTED_MAX || shared.rounds < COUNTED_MAX); i++) {
        churn_round(&audience, &in_other, &apart);
        churn_round(&audience, &in_same, &shared);
    }
    if (apart.rounds < ROUNDS_MIN || shared.rounds < ROUNDS_MIN)
        printf("threads_broadcast_p99_longer_by_additions - additions skipped\n");
    else
        print_churn(&apart, &shared);
    close_part(&in_other.part);
    close_part(&in_same.part);
    close_part(&audience);
    sse_registry_unref(other);
    free(apart.values);
    free(shared.values);
}

/* Each has its own topic, and one that all share. */
static void time_additions(double *shortest)
{
    struct part part = {.core = 0};

    open_part(&part, new_registry());
    for (size_t i = 0; i < ADDED; i++) {
        struct sse_text topics[2] = {steady_topic(i, part.name), sse_str("all")};
        const struct sse_emitter_options options = {.size = sizeof(options),
                                                    .registry = part.registry,
                                                    .loop = part.loop,
                                                    .topics = topics,
                                                    .topic_count = 2,
                                                    .output = SSE_OUTPUT_CALLBACK,
                                                    .write = take_all,
                                                    .user = &part};
        struct sse_emitter *emitter;
        uint64_t begun = wall_now();
        double took;

        steady_check(sse_emitter_new(&emitter, &options, NULL), "new");
        took = (double)(wall_now() - begun);
        shortest[i] = took < shortest[i] ? took : shortest[i];
        sse_emitter_unref(emitter);
    }
    close_part(&part);
}

/* The same addition in several repeats makes the same array grow, but is not interrupted in all of them. */
static void measure_additions(void)
{
    double *shortest = malloc(ADDED * sizeof(double));
    double longest, median;

    steady_check(shortest ? 0 : -1, "malloc");
    for (size_t i = 0; i < ADDED; i++)
        shortest[i] = 1e12;
    for (int i = 0; i < ADD_REPEATS; i++)
        time_additions(shortest);
    median = figure_median(shortest, ADDED);
    longest = shortest[ADDED - 1];
    figure_plain("threads_addition_median_of_100000", median, "ns");
    figure_plain("threads_addition_longest_of_100000", longest, "ns");
    figure_at_most("threads_addition_longest_over_median", longest / median, "ratio", 20);
    free(shortest);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;

    if (argc > 2) {
        measure_publishing(strtoul(argv[2], NULL, 10), rounds);
        return 0;
    }
    measure_publishing(1000, rounds);
    measure_publishing(10, rounds);
    measure_publishing(1, rounds);
    measure_churn(rounds);
    measure_additions();
    return 0;
}

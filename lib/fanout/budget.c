/* SPDX-License-Identifier: MIT */
#include "fanout/budget.h"
#include "fanout/members.h"

/*
 * The emitters to end are those above a threshold. It is found digit by digit, with a histogram of the
 * members for each digit: so the work is linear however many end.
 *
 * Emitters write and consume meanwhile. What changes between two looks makes the choice a little older, and
 * no more.
 */

#define DIGIT_BITS 8
#define DIGITS (1u << DIGIT_BITS)

/** What counts against a limit: what is queued, or the part of it that an output had the chance to take. */
struct measure {
    bool tried;
    size_t max;
};

/** The emitters to end: all above the threshold, and as many as needed of those at it. */
struct cut {
    size_t threshold;
    size_t at_threshold;
    size_t excess; /* bytes that have to go */
};

struct bucket {
    size_t count;
    size_t sum;
};

static size_t measure_of(const struct sse_emitter *emitter, const struct measure *measure)
{
    return !measure->tried || emitter->tried ? emitter->charged : 0;
}

static size_t read_member(const struct sse_registry *registry, uint32_t position,
                          const struct measure *measure)
{
    struct sse_emitter *emitter = *sse_array_pointer(&registry->members, position);
    size_t size;

    pthread_mutex_lock(&emitter->lock);
    size = measure_of(emitter, measure);
    pthread_mutex_unlock(&emitter->lock);
    return size;
}

/* Sorts the members into buckets by one digit: those whose higher digits are the threshold's. */
static void fill(struct bucket *buckets, const struct sse_registry *registry, const struct measure *measure,
                 size_t threshold, unsigned shift)
{
    size_t higher = ~(((size_t)DIGITS << shift) - 1);

    memset(buckets, 0, DIGITS * sizeof(*buckets));
    for (uint32_t i = 0; i < registry->count; i++) {
        size_t size = read_member(registry, i, measure);
        struct bucket *bucket = &buckets[size >> shift & (DIGITS - 1)];

        if ((size & higher) != threshold)
            continue;
        bucket->count++;
        bucket->sum += size;
    }
}

/* The bucket in which the excess is used up, if those above it go. Takes them off the excess. */
static size_t find_bucket(const struct bucket *buckets, size_t *excess)
{
    size_t digit = DIGITS - 1;

    while (digit > 0 && buckets[digit].sum < *excess)
        *excess -= buckets[digit--].sum;
    return digit;
}

static struct cut find_cut(const struct sse_registry *registry, const struct measure *measure, size_t largest,
                           size_t excess)
{
    struct bucket buckets[DIGITS];
    struct cut cut = {.excess = excess};
    unsigned shift = 0;

    while (largest >> shift >= DIGITS)
        shift += DIGIT_BITS;
    for (;;) {
        fill(buckets, registry, measure, cut.threshold, shift);
        cut.threshold |= find_bucket(buckets, &excess) << shift;
        if (!shift)
            break;
        shift -= DIGIT_BITS;
    }
    /* not reached: it is 0 only if threads have written much between the two looks at the members */
    if (cut.threshold)
        cut.at_threshold = (excess - 1) / cut.threshold + 1;
    return cut;
}

/* True if it has ended: another one has its place. */
static bool end_above(struct sse_registry *registry, uint32_t position, const struct measure *measure,
                      struct cut *cut, struct mark_chain *chain, uint64_t now)
{
    struct sse_emitter *emitter = *sse_array_pointer(&registry->members, position);
    size_t size;
    bool above;

    pthread_mutex_lock(&emitter->lock);
    size = measure_of(emitter, measure);
    above = size > cut->threshold || (size == cut->threshold && cut->at_threshold);
    if (above) {
        cut->at_threshold -= size == cut->threshold;
        cut->excess -= size < cut->excess ? size : cut->excess;
        (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, -ENOBUFS, now);
        sse_members_forget(registry, emitter);
        sse_members_notify(emitter, chain);
    }
    pthread_mutex_unlock(&emitter->lock);
    return above;
}

static void end_largest(struct sse_registry *registry, const struct measure *measure,
                        struct mark_chain *chain, uint64_t now)
{
    size_t sum = 0, largest = 0;
    uint32_t position = registry->count;
    struct cut cut;

    for (uint32_t i = 0; i < registry->count; i++) {
        size_t size = read_member(registry, i, measure);

        sum += size;
        largest = size > largest ? size : largest;
    }
    if (sum <= measure->max)
        return;
    cut = find_cut(registry, measure, largest, sum - measure->max);
    while (position > 0 && cut.excess > 0)
        if (!end_above(registry, position - 1, measure, &cut, chain, now) || position > registry->count)
            position--;
}

void sse_budget_enforce(struct sse_registry *registry, uint64_t now)
{
    const struct emitter_group *group = &registry->group;
    const struct measure tried = {.tried = true, .max = group->backlog_max};
    const struct measure queued = {.max = sse_group_untried_max(group)};
    struct mark_chain chain = {.to_wake = NULL};

    if (!sse_group_is_over_budget(group))
        return;
    /* The members are added up anew: under the lock no publish is half counted. */
    pthread_mutex_lock(&registry->lock);
    end_largest(registry, &tried, &chain, now);
    end_largest(registry, &queued, &chain, now);
    pthread_mutex_unlock(&registry->lock);
    sse_mark_chain_finish(&chain);
}

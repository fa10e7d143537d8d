/* SPDX-License-Identifier: MIT */
#include "fanout/budget.h"
#include "connection/ending.h"
#include "fanout/members.h"

/*
 * The emitters to end are those above a threshold. The threshold is found digit by digit, with a histogram of the
 * members for each digit. So the work is linear, however many emitters end.
 *
 * Meanwhile emitters write and consume. So the choice may be slightly out of date, which does no harm.
 */

#define DIGIT_BITS 8
#define DIGITS (1u << DIGIT_BITS)

/** A limit, and what counts against it: all bytes queued or, with `tried`, those that an owner has
 *  tried to write. */
struct measure {
    bool tried;
    size_t max;
};

/** The emitters to end: all above the threshold, and `at_threshold` of those at it. */
struct cut {
    size_t threshold;
    size_t at_threshold;
    size_t excess; /* the bytes above the limit */
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

/* Sorts members into buckets by one digit. Only those count whose higher digits are equal to the threshold's. */
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

/* Finds the bucket with the threshold: ending those in the buckets above it is not enough. Subtracts those from the
 * excess. */
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

/* Ends the member at a position if it is above the threshold. Returns true if it has; then another member may be at
 * the position. */
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
    /* The members are counted again, because with the lock held no publish is half counted. */
    pthread_mutex_lock(&registry->lock);
    end_largest(registry, &tried, &chain, now);
    end_largest(registry, &queued, &chain, now);
    pthread_mutex_unlock(&registry->lock);
    sse_mark_chain_finish(&chain);
}

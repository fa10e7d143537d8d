/* SPDX-License-Identifier: MIT */
#include "order.h"

static struct order threads[ALL_THREADS] = {
    {.seen = {1, 1, 1, 1}}, {.seen = {1, 1, 1, 1}}, {.seen = {1, 1, 1, 1}}, {.seen = {1, 1, 1, 1}}};

static void join(struct order *to, const struct order *from)
{
    for (unsigned i = 0; i < ALL_THREADS; i++)
        if (to->seen[i] < from->seen[i])
            to->seen[i] = from->seen[i];
}

static void tick(unsigned thread)
{
    threads[thread].seen[thread]++;
}

void order_fork(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        join(&threads[i], &threads[MAIN_THREAD]);
        tick(i);
    }
    tick(MAIN_THREAD);
}

void order_join(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        join(&threads[MAIN_THREAD], &threads[i]);
    tick(MAIN_THREAD);
}

void order_acquire(const struct order *order)
{
    join(&threads[scheduler_self()], order);
}

void order_release(struct order *order)
{
    unsigned self = scheduler_self();

    join(order, &threads[self]);
    tick(self);
}

const struct order *order_of(unsigned thread)
{
    return &threads[thread];
}

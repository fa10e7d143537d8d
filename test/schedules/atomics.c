/* SPDX-License-Identifier: MIT */
#include "atomics.h"
#include "failure.h"
#include "locks.h"
#include "memory.h"
#include "objects.h"
#include "order.h"

#include <stdatomic.h>

#define ATOMICS_MAX 256

struct atomic {
    size_t place;
    struct order order; /* that its last release passes on */
};

static struct atomic atomics[ATOMICS_MAX];
static size_t count;
static size_t left_out;
static size_t left_out_size;

void atomics_clear(void)
{
    count = 0;
    left_out_size = 0;
}

void atomics_leave_out(const volatile void *begin, size_t size)
{
    left_out = memory_place((const void *)begin);
    left_out_size = size;
}

static struct atomic *find(size_t place)
{
    for (size_t i = 0; i < count; i++)
        if (atomics[i].place == place)
            return &atomics[i];
    require(count < ATOMICS_MAX);
    atomics[count] = (struct atomic){.place = place};
    return &atomics[count++];
}

static bool is_shared(const volatile void *at)
{
    size_t place = memory_place((const void *)at);

    return place != SIZE_MAX && place - left_out >= left_out_size;
}

static uint64_t bit_of(const volatile void *at)
{
    return objects_bit((const void *)at);
}

static void take_step(const char *what, const volatile void *at, const void *code)
{
    const struct step step = {.what = what, .object = (const void *)at, .touches = bit_of(at), .place = code};

    scheduler_step(&step);
}

static struct atomic *find_allocated(const volatile void *at, const void *code)
{
    memory_expect_allocated((const void *)at, code);
    return find(memory_place((const void *)at));
}

static void pass_on(struct atomic *atomic, int order)
{
    if (order != memory_order_relaxed && order != memory_order_release)
        order_acquire(&atomic->order);
    if (order != memory_order_relaxed && order != memory_order_acquire)
        order_release(&atomic->order);
}

void atomics_read(const char *what, const volatile void *at, int order, const void *code)
{
    if (!is_shared(at))
        return;
    take_step(what, at, code);
    if (order != memory_order_relaxed)
        order_acquire(&find_allocated(at, code)->order);
}

/* A store that passes nothing on takes away what was passed on before. */
void atomics_write(const char *what, const volatile void *at, int order, const void *code)
{
    struct atomic *atomic;

    if (!is_shared(at))
        return;
    if (order != memory_order_relaxed)
        take_step(what, at, code);
    else
        scheduler_touch(bit_of(at));
    atomic = find_allocated(at, code);
    atomic->order = (struct order){.seen = {0}};
    if (order != memory_order_relaxed)
        order_release(&atomic->order);
}

void atomics_add(const volatile void *at, int order, const void *code)
{
    if (!is_shared(at))
        return;
    if (!locks_held())
        take_step("add", at, code);
    else
        scheduler_touch(bit_of(at));
    pass_on(find_allocated(at, code), order);
}

void atomics_change(const char *what, const volatile void *at, int order, const void *code)
{
    if (!is_shared(at))
        return;
    take_step(what, at, code);
    pass_on(find_allocated(at, code), order);
}

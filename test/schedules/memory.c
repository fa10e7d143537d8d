/* SPDX-License-Identifier: MIT */
#include "memory.h"
#include "failure.h"
#include "order.h"
#include "scheduler.h"

#include <stdnoreturn.h>
#include <string.h>

#define PART_SIZE ((size_t)64 << 10)
#define MEMORY_SIZE (ALL_THREADS * PART_SIZE)
#define ALIGNMENT 16
#define POISON 0xdd

/** When and where a byte was last touched. The place in the code is stored as a distance from memory_access. */
struct touch {
    uint32_t moment;
    int32_t code;
};

struct shadow {
    struct touch written;
    unsigned writer;
    struct touch read[THREADS];
};

struct header {
    _Alignas(ALIGNMENT) size_t size;
};

static _Alignas(ALIGNMENT) unsigned char memory[MEMORY_SIZE];
static bool allocated[MEMORY_SIZE];
static struct shadow shadows[MEMORY_SIZE];
/* Each thread has its own part, so the addresses of its blocks do not depend on the others. */
static size_t used[ALL_THREADS];
static size_t blocks;

void memory_clear(void)
{
    for (unsigned i = 0; i < ALL_THREADS; i++) {
        memset(allocated + i * PART_SIZE, 0, used[i]);
        used[i] = 0;
    }
    blocks = 0;
}

void *memory_allocate(size_t size, void *user)
{
    unsigned self = scheduler_self();
    unsigned char *part = memory + self * PART_SIZE;
    struct header *header = (struct header *)(void *)(part + used[self]);
    unsigned char *block = (unsigned char *)(header + 1);

    (void)user;
    used[self] += (sizeof(*header) + size + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    if (size > PART_SIZE || used[self] > PART_SIZE)
        failure("the memory of the test is too small");
    header->size = size;
    memset(block, 0xa5, size);
    memset(allocated + memory_place(block), 1, size);
    blocks++;
    return block;
}

/* All earlier accesses of the block come before. */
void memory_deallocate(void *block, void *user)
{
    struct header *header = (struct header *)block - 1;

    (void)user;
    memory_access(block, header->size, true, CALLER);
    memset(allocated + memory_place(block), 0, header->size);
    memset(block, POISON, header->size);
    blocks--;
}

size_t memory_blocks(void)
{
    return blocks;
}

size_t memory_place(const void *address)
{
    uintptr_t place = (uintptr_t)address - (uintptr_t)memory;

    return place < MEMORY_SIZE ? place : SIZE_MAX;
}

static void *code_of(int32_t distance)
{
    return (void *)((uintptr_t)&memory_access + (uintptr_t)(intptr_t)distance);
}

noreturn static void tell_race(unsigned thread, const struct touch *touch, int32_t code)
{
    failure("data race: at [%p], with thread %c at [%p]", code_of(code), (int)('A' + thread),
            code_of(touch->code));
}

static void check_byte(struct shadow *shadow, bool writes, struct touch now, const uint32_t *seen)
{
    unsigned self = scheduler_self();

    /* Since then, another thread can have touched it only in a race, which was reported. */
    if (shadow->writer == self && shadow->written.moment == now.moment)
        return;
    if (shadow->written.moment > seen[shadow->writer])
        tell_race(shadow->writer, &shadow->written, now.code);
    if (!writes) {
        shadow->read[self] = now;
        return;
    }
    for (unsigned i = 0; i < THREADS; i++)
        if (shadow->read[i].moment > seen[i])
            tell_race(i, &shadow->read[i], now.code);
    shadow->written = now;
    shadow->writer = self;
}

noreturn static void tell_not_allocated(const void *code)
{
    failure("memory is touched that is not allocated, at [%p]", code);
}

void memory_expect_allocated(const void *address, const void *code)
{
    if (!allocated[memory_place(address)])
        tell_not_allocated(code);
}

/* The main thread's accesses are before or after all others. */
void memory_access(const void *address, size_t size, bool writes, const void *code)
{
    size_t place = memory_place(address);
    unsigned self = scheduler_self();
    const uint32_t *seen = order_of(self)->seen;
    struct touch now = {.moment = seen[self], .code = (int32_t)((intptr_t)code - (intptr_t)&memory_access)};

    if (place == SIZE_MAX)
        return;
    for (size_t i = place; i < place + size; i++) {
        if (!allocated[i])
            tell_not_allocated(code);
        if (self != MAIN_THREAD)
            check_byte(&shadows[i], writes, now, seen);
    }
}

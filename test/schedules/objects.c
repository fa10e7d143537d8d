/* SPDX-License-Identifier: MIT */
#include "objects.h"
#include "memory.h"
#include "scheduler.h"

#include <stdio.h>

#define NAMES_MAX 64
#define BITS 64
#define BITS_TAKEN 2 /* TOUCHES_SYSTEM, TOUCHES_ENDS */
#define BITS_OF_ITS_OWN 48

static struct {
    const void *object;
    const char *name;
} names[NAMES_MAX];
static unsigned name_count;
static const void *own[BITS_OF_ITS_OWN];
static unsigned own_count;

void objects_clear(void)
{
    name_count = 0;
    own_count = 0;
}

/* A thread has one object on its stack at a time: the condition that it waits for. */
static uint64_t number_of(const void *object)
{
    size_t place = memory_place(object);

    return place == SIZE_MAX ? scheduler_self() : place / sizeof(uint32_t);
}

uint64_t objects_bit(const void *object)
{
    const unsigned first_shared = BITS_TAKEN + BITS_OF_ITS_OWN;
    unsigned i = 0;

    while (i < own_count && own[i] != object)
        i++;
    if (i < own_count)
        return UINT64_C(1) << (BITS_TAKEN + i);
    if (scheduler_self() == MAIN_THREAD && own_count < BITS_OF_ITS_OWN) {
        own[own_count++] = object;
        return UINT64_C(1) << (BITS_TAKEN + i);
    }
    return UINT64_C(1) << (first_shared + number_of(object) % (BITS - first_shared));
}

void objects_name(const void *object, const char *name)
{
    if (name_count == NAMES_MAX)
        return;
    names[name_count].object = object;
    names[name_count++].name = name;
}

const char *objects_name_of(const void *object)
{
    static char address[32];

    for (unsigned i = name_count; i > 0; i--)
        if (names[i - 1].object == object)
            return names[i - 1].name;
    snprintf(address, sizeof(address), "%p", object);
    return object ? address : "";
}

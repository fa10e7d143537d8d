/* SPDX-License-Identifier: MIT */
#include "steps.h"

#include <stdlib.h>

#define BYTES_PER_STEP 8

static uint64_t count;
static uint64_t now;
static uint64_t state;

/* The function that the compiler calls in each basic block, and replacements for functions of libc. */
void __sanitizer_cov_trace_pc(void);
void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int byte, size_t size);
void *__real_memchr(const void *bytes, int byte, size_t size);
int __real_memcmp(const void *left, const void *right, size_t size);
size_t __real_strlen(const char *text);
void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size);
void *__wrap_memset(void *to, int byte, size_t size);
void *__wrap_memchr(const void *bytes, int byte, size_t size);
int __wrap_memcmp(const void *left, const void *right, size_t size);
size_t __wrap_strlen(const char *text);

void __sanitizer_cov_trace_pc(void)
{
    count++;
}

static void add_bytes(size_t size)
{
    count += 1 + size / BYTES_PER_STEP;
}

void *__wrap_memcpy(void *to, const void *from, size_t size)
{
    add_bytes(size);
    return __real_memcpy(to, from, size);
}

void *__wrap_memmove(void *to, const void *from, size_t size)
{
    add_bytes(size);
    return __real_memmove(to, from, size);
}

void *__wrap_memset(void *to, int byte, size_t size)
{
    add_bytes(size);
    return __real_memset(to, byte, size);
}

/* Only the searched bytes count. */
void *__wrap_memchr(const void *bytes, int byte, size_t size)
{
    const char *found = __real_memchr(bytes, byte, size);

    add_bytes(found ? (size_t)(found - (const char *)bytes) : size);
    return (void *)(uintptr_t)found;
}

int __wrap_memcmp(const void *left, const void *right, size_t size)
{
    add_bytes(size);
    return __real_memcmp(left, right, size);
}

size_t __wrap_strlen(const char *text)
{
    size_t length = __real_strlen(text);

    add_bytes(length);
    return length;
}

static void *allocate(size_t size, void *user)
{
    (void)user;
    add_bytes(size);
    return malloc(size);
}

static void deallocate(void *block, void *user)
{
    (void)user;
    count++;
    free(block);
}

static uint64_t read_clock(void *user)
{
    (void)user;
    return now;
}

/* xorshift64* */
static uint64_t next_random(void *user)
{
    (void)user;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

const struct sse_platform steps_platform = {
    .size = sizeof(steps_platform),
    .allocate = allocate,
    .deallocate = deallocate,
    .now = read_clock,
    .random = next_random,
};

uint64_t steps_count(void)
{
    return count;
}

void steps_advance_ms(uint64_t milliseconds)
{
    now += milliseconds * UINT64_C(1000000);
}

void steps_reset(void)
{
    now = UINT64_C(1000000000);
    state = UINT64_C(88172645463325252);
}

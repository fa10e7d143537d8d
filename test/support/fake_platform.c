/* SPDX-License-Identifier: MIT */
#include "fake_platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In front of every block. The same guard bytes follow the block. */
struct guard {
    _Alignas(max_align_t) uint64_t mark;
    struct fake_platform *fake;
    size_t size;
};

static const uint64_t mark_alive = UINT64_C(0x5afe5afe5afe5afe);
static const uint64_t mark_dead = UINT64_C(0xdeaddeaddeaddead);

static void fail(const char *what)
{
    fprintf(stderr, "fake platform: %s\n", what);
    abort();
}

static bool must_fail(struct fake_platform *fake)
{
    size_t nth = atomic_load(&fake->fail_at);
    size_t attempt;

    if (!nth)
        return false;
    attempt = atomic_fetch_add(&fake->attempts, 1) + 1;
    return atomic_load(&fake->fail_from_there_on) ? attempt >= nth : attempt == nth;
}

/* Overwrites a freed block, so that a read after the free returns other bytes. The compiler would remove a memset
 * before a free. */
static void *(*volatile fill)(void *block, int byte, size_t size) = memset;

static void *allocate(size_t size, void *user)
{
    struct fake_platform *fake = user;
    struct guard *guard;

    if (must_fail(fake))
        return NULL;
    guard = malloc(sizeof(*guard) + size + sizeof(mark_alive));
    if (!guard)
        fail("out of memory");
    *guard = (struct guard){.mark = mark_alive, .fake = fake, .size = size};
    memset(guard + 1, 0xa5, size);
    memcpy((char *)(guard + 1) + size, &mark_alive, sizeof(mark_alive));
    atomic_fetch_add(&fake->blocks, 1);
    atomic_fetch_add(&fake->bytes, size);
    atomic_fetch_add(&fake->allocations, 1);
    return guard + 1;
}

static void deallocate(void *block, void *user)
{
    struct fake_platform *fake = user;
    struct guard *guard = (struct guard *)block - 1;

    if (guard->mark != mark_alive)
        fail("deallocated an unknown block, or a block twice");
    if (guard->fake != fake)
        fail("deallocated in another platform");
    if (memcmp((char *)block + guard->size, &mark_alive, sizeof(mark_alive)))
        fail("a block was overrun");
    guard->mark = mark_dead;
    if (!getenv("SSE_TEST_KEEP_FREED"))
        (void)fill(block, 0xdd, guard->size);
    atomic_fetch_sub(&fake->blocks, 1);
    atomic_fetch_sub(&fake->bytes, guard->size);
    free(guard);
}

static uint64_t now(void *user)
{
    return atomic_load(&((struct fake_platform *)user)->now);
}

/* xorshift64*. Any generator is suitable that a seed can repeat. */
static uint64_t next_random(void *user)
{
    struct fake_platform *fake = user;
    uint64_t old = atomic_load(&fake->random), bits;

    do {
        bits = old;
        bits ^= bits >> 12;
        bits ^= bits << 25;
        bits ^= bits >> 27;
    } while (!atomic_compare_exchange_weak(&fake->random, &old, bits));
    return bits * UINT64_C(2685821657736338717);
}

void fake_platform_init(struct fake_platform *fake)
{
    memset(fake, 0, sizeof(*fake));
    fake->platform = (struct sse_platform){
        .size = sizeof(fake->platform),
        .allocate = allocate,
        .deallocate = deallocate,
        .now = now,
        .random = next_random,
        .user = fake,
    };
    atomic_store(&fake->now, UINT64_C(1000000000));
    atomic_store(&fake->random, UINT64_C(88172645463325252));
}

void fake_platform_advance_ms(struct fake_platform *fake, uint64_t milliseconds)
{
    atomic_fetch_add(&fake->now, milliseconds * 1000000);
}

void fake_platform_fail_at(struct fake_platform *fake, size_t nth, bool for_good)
{
    atomic_store(&fake->attempts, 0);
    atomic_store(&fake->fail_from_there_on, for_good);
    atomic_store(&fake->fail_at, nth);
}

void fake_platform_check_no_leak(const struct fake_platform *fake)
{
    if (atomic_load(&fake->blocks)) {
        fprintf(stderr, "fake platform: %zu blocks leaked\n", atomic_load(&fake->blocks));
        abort();
    }
}

/* SPDX-License-Identifier: MIT */
#ifndef FAKES_H
#define FAKES_H

/*
 * Replacements for a unit test: a fake clock, memory, random numbers and client. They are in one struct, `fake`,
 * which a test sets and reads.
 */

#include <sse/sse.h>
#include <stdlib.h>

static struct {
    uint64_t now_ms;
    int until_failure; /* the next allocation that fails, counted from 1; 0: none */
    int blocks;        /* allocated now */
    size_t room;       /* bytes that the client can still take */
    char received[1024];
} fake;

static inline void *fake_allocate(size_t size, void *user)
{
    void *block = fake.until_failure > 0 && --fake.until_failure == 0 ? NULL : malloc(size);

    (void)user;
    fake.blocks += block ? 1 : 0;
    return block;
}

static inline void fake_deallocate(void *block, void *user)
{
    (void)user;
    --fake.blocks;
    free(block);
}

static inline uint64_t fake_now(void *user)
{
    (void)user;
    return fake.now_ms * 1000000;
}

/* The library spreads timers at random. Here all random numbers are alike. */
static inline uint64_t fake_random(void *user)
{
    (void)user;
    return 0;
}

static const struct sse_platform fake_platform = {.size = sizeof(fake_platform),
                                                  .allocate = fake_allocate,
                                                  .deallocate = fake_deallocate,
                                                  .now = fake_now,
                                                  .random = fake_random};

/* A write callback that accepts as much as the client has room for, one piece at a time. */
static inline ssize_t fake_write(void *user, const struct iovec *iov, int count)
{
    size_t size = iov->iov_len < fake.room ? iov->iov_len : fake.room;
    size_t before = strlen(fake.received);

    (void)user;
    (void)count;
    if (size > sizeof(fake.received) - 1 - before)
        return -ENOSPC;
    memcpy(fake.received + before, iov->iov_base, size);
    fake.room -= size;
    return size > 0 ? (ssize_t)size : -EAGAIN;
}

static inline void fake_on_wake(struct sse_loop *loop, void *user)
{
    (void)loop;
    (void)user;
}

static const struct sse_loop_options fake_loop = {
    .size = sizeof(fake_loop), .platform = &fake_platform, .on_wake = fake_on_wake};

/* A new test begins: no time has passed, no allocation fails, and the client accepts everything. */
static inline void fake_reset(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.room = SIZE_MAX;
}

/* Lets time pass, and then runs turns of the loop as long as it has work. */
static inline void fake_run(struct sse_loop *loop, uint64_t milliseconds)
{
    fake.now_ms += milliseconds;
    while (sse_loop_turn(loop) == 0)
        continue;
}

#endif

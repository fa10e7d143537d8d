/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "base/options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* 0.2 had the members up to `user`. Before you read a later one, check `size`, because the struct is not copied. */
#define SIZE_OLDEST OPTIONS_SIZE_TO(struct sse_platform, user)

bool sse_platform_is_valid(const struct sse_platform *platform)
{
    struct sse_platform known;

    if (!platform)
        return true;
    return sse_options_copy(&known, sizeof(known), platform, platform->size, SIZE_OLDEST) &&
           !known.allocate == !known.deallocate;
}

/* A lock of the library may be held while a function of the program runs. If the thread were cancelled in it, the
 * lock would never be released. So cancellation is disabled. */

void *sse_platform_allocate(const struct sse_platform *platform, size_t size)
{
    void *block;
    int cancel_state;

    if (!platform || !platform->allocate)
        return malloc(size);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    block = platform->allocate(size, platform->user);
    pthread_setcancelstate(cancel_state, NULL);
    return block;
}

void sse_platform_deallocate(const struct sse_platform *platform, void *block)
{
    int cancel_state;

    if (!block)
        return;
    if (!platform || !platform->deallocate) {
        free(block);
        return;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    platform->deallocate(block, platform->user);
    pthread_setcancelstate(cancel_state, NULL);
}

static uint64_t call(uint64_t (*function)(void *user), void *user)
{
    uint64_t result;
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    result = function(user);
    pthread_setcancelstate(cancel_state, NULL);
    return result;
}

static uint64_t monotonic_now(void)
{
    struct timespec time = {0, 0};

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

uint64_t sse_platform_now(const struct sse_platform *platform)
{
    return platform && platform->now ? call(platform->now, platform->user) : monotonic_now();
}

/* The finaliser of SplitMix64: each bit of the input changes about half of the bits of the output. */
static uint64_t mix(uint64_t bits)
{
    bits += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

static bool read_urandom(uint64_t *bits)
{
    ssize_t count;
    int fd;

    do
        fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return false;
    do
        count = read(fd, bits, sizeof(*bits));
    while (count < 0 && errno == EINTR);
    close(fd);
    return count == (ssize_t)sizeof(*bits);
}

uint64_t sse_platform_secret(const struct sse_platform *platform)
{
    uint64_t bits = 0;

    if (platform && platform->random)
        return call(platform->random, platform->user);
    /* If no descriptor is left, a weaker secret is better than no registry. */
    if (!read_urandom(&bits))
        bits = mix(monotonic_now() ^ (uint64_t)(uintptr_t)&bits) ^ mix((uint64_t)getpid());
    return bits;
}

uint64_t sse_platform_jitter(const struct sse_platform *platform, uint64_t salt)
{
    if (platform && platform->random)
        return call(platform->random, platform->user);
    return mix(salt);
}

/* SPDX-License-Identifier: MIT */
#include "random.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t state;

/* Two nodes must not generate the same numbers. */
void random_open(void)
{
    uint64_t seed = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    struct timespec now;

    if (fd < 0 || read(fd, &seed, sizeof(seed)) != (ssize_t)sizeof(seed)) {
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 40;
    }
    if (fd >= 0)
        close(fd);
    atomic_store(&state, seed);
}

/* SplitMix64. */
uint64_t random_bits(void)
{
    uint64_t bits = atomic_fetch_add(&state, 0x9e3779b97f4a7c15) + 0x9e3779b97f4a7c15;

    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return bits ^ bits >> 31;
}

int64_t random_between(int64_t minimum, int64_t maximum)
{
    return minimum + (int64_t)(random_bits() % (uint64_t)(maximum - minimum + 1));
}

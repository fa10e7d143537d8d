/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, which POSIX has since 2024 */
#include "ring_memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BYTES_DEFAULT ((size_t)16 << 20)
#define EVENTS_DEFAULT 65536
#define EVENT_BYTES_DEFAULT 65536
#define READERS_DEFAULT 64

static size_t round_up(size_t size)
{
    size_t power = 1024;

    while (power < size && power <= SIZE_MAX / 2)
        power *= 2;
    return power;
}

static bool options_are_valid(const struct ring_options *options)
{
    return options->bytes <= SIZE_MAX / 4 && options->events >= 2 && options->events <= UINT32_MAX &&
           options->event_bytes <= options->bytes / 4 && options->event_bytes < UINT32_MAX / 4 &&
           options->readers <= INT32_MAX;
}

static struct ring_options with_defaults(const struct ring_options *options)
{
    struct ring_options full = options ? *options : (struct ring_options){.bytes = 0};

    full.bytes = round_up(full.bytes ? full.bytes : BYTES_DEFAULT);
    full.events = full.events ? full.events : EVENTS_DEFAULT;
    full.event_bytes = full.event_bytes ? full.event_bytes : EVENT_BYTES_DEFAULT;
    full.readers = full.readers ? full.readers : READERS_DEFAULT;
    return full;
}

static uint64_t new_era(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int make_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error)
        return -error;
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error)
        error = pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return -error;
}

static int share_memory(struct ring *ring)
{
    const size_t seats = sizeof(struct shared), places = seats + ring->readers * sizeof(*ring->seats),
                 words = places + ring->slots * sizeof(*ring->places);
    char *memory;

    ring->size = words + ring->word_count * sizeof(*ring->words);
    memory = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    ring->shared = (struct shared *)(void *)memory;
    ring->seats = (struct seat *)(void *)(memory + seats);
    ring->places = (_Atomic uint64_t *)(void *)(memory + places);
    ring->words = (_Atomic uint64_t *)(void *)(memory + words);
    atomic_store(&ring->shared->oldest, 1);
    return make_lock(&ring->shared->lock);
}

static int open_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return -errno;
    for (int end = 0; end < 2; end++) {
        if (fcntl(ends[end], F_SETFL, O_NONBLOCK) < 0 || fcntl(ends[end], F_SETFD, FD_CLOEXEC) < 0)
            return -errno;
    }
    return 0;
}

static int fill_in(struct ring *ring)
{
    int error = share_memory(ring);

    for (size_t reader = 0; reader < ring->readers && !error; reader++)
        error = open_pipe(ring->pipes[reader]);
    return error;
}

int ring_create(struct ring **ring, const struct ring_options *options)
{
    const struct ring_options full = with_defaults(options);
    struct ring *made;
    int error;

    if (!ring || !options_are_valid(&full))
        return -EINVAL;
    made = calloc(1, sizeof(*made) + full.readers * sizeof(*made->pipes));
    if (!made)
        return -ENOMEM;
    made->readers = full.readers;
    made->slots = full.events + 1;
    made->word_count = full.bytes / sizeof(uint64_t);
    made->event_bytes = full.event_bytes;
    made->era = new_era();
    for (size_t reader = 0; reader < full.readers; reader++)
        made->pipes[reader][0] = made->pipes[reader][1] = -1;
    error = fill_in(made);
    if (!error && !atomic_is_lock_free(&made->shared->newest))
        error = -ENOTSUP;
    if (error)
        ring_free(made);
    else
        *ring = made;
    return error;
}

void ring_free(struct ring *ring)
{
    if (!ring)
        return;
    for (size_t reader = 0; reader < ring->readers; reader++) {
        for (int end = 0; end < 2; end++) {
            if (ring->pipes[reader][end] >= 0)
                close(ring->pipes[reader][end]);
        }
    }
    /* The lock is not destroyed, because other processes may use it. */
    if (ring->shared)
        munmap(ring->shared, ring->size);
    free(ring);
}

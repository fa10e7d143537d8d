/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The allocator of the C library may keep some memory for itself. */
#define RESIDENT_ROOM (UINT64_C(1) << 20)

static struct {
    bool known;
    size_t blocks;
    size_t bytes;
    uint64_t descriptors;
    uint64_t resident;
} first;

void ledger_fail(const char *message, uint64_t number)
{
    fprintf(stderr, "%s: %" PRIu64 "\n", message, number);
    exit(1);
}

void ledger_check(int error, const char *what)
{
    if (error < 0)
        ledger_fail(what, (uint64_t)-error);
}

static void *allocate(size_t size, void *user)
{
    struct ledger *ledger = user;
    size_t *block = malloc(sizeof(max_align_t) + size);

    if (!block)
        return NULL;
    *block = size;
    ledger->blocks++;
    ledger->bytes += size;
    return (char *)block + sizeof(max_align_t);
}

static void deallocate(void *block, void *user)
{
    struct ledger *ledger = user;
    size_t *begin = (size_t *)(void *)((char *)block - sizeof(max_align_t));

    ledger->blocks--;
    ledger->bytes -= *begin;
    free(begin);
}

static uint64_t own_now(void *user)
{
    return ((struct ledger *)user)->now;
}

static uint64_t next_random(void *user)
{
    uint64_t *state = &((struct ledger *)user)->random;

    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state;
}

void ledger_init(struct ledger *ledger, bool own_clock, uint64_t seed)
{
    *ledger = (struct ledger){
        .platform = {.size = sizeof(ledger->platform),
                     .now = own_clock ? own_now : NULL,
                     .random = next_random,
                     .allocate = allocate,
                     .deallocate = deallocate,
                     .user = ledger},
        .now = 1,
        .random = seed,
    };
}

uint64_t ledger_random(struct ledger *ledger, uint64_t limit)
{
    return (next_random(ledger) >> 33) % limit;
}

static uint64_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (!directory)
        ledger_fail("/proc/self/fd cannot be read", 0);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    uint64_t pages = 0;

    if (!file || fscanf(file, "%*u %" SCNu64, &pages) != 1)
        ledger_fail("/proc/self/statm cannot be read", 0);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void check_ends(const struct ledger *ledger, struct sse_registry *registry)
{
    struct sse_registry_stats stats;
    uint64_t ends = 0;

    ledger_check(sse_registry_get_stats(registry, &stats, sizeof(stats)), "stats");
    for (size_t i = 0; i < SSE_REASON_COUNT_MAX; i++)
        ends += stats.ended_by[i];
    if (ledger->completed != ledger->opened || ledger->released != ledger->opened)
        ledger_fail("not each ended and was released once; opened", ledger->opened);
    if (ends != ledger->opened || stats.added != ledger->opened)
        ledger_fail("the registry counts other ends", ends);
    if (stats.emitters || stats.remaining || stats.backlog_bytes)
        ledger_fail("the registry still has", stats.emitters + stats.remaining + stats.backlog_bytes);
}

void ledger_compare(struct ledger *ledger, struct sse_registry *registry)
{
    uint64_t descriptors = count_descriptors(), resident = resident_bytes();

    check_ends(ledger, registry);
    printf("%" PRIu64 " ended, %zu blocks, %zu bytes, %" PRIu64 " descriptors, %" PRIu64 " KiB resident\n",
           ledger->opened, ledger->blocks, ledger->bytes, descriptors, resident / 1024);
    fflush(stdout);
    if (!first.known) {
        first.known = true;
        first.blocks = ledger->blocks;
        first.bytes = ledger->bytes;
        first.descriptors = descriptors;
        first.resident = resident;
    }
    if (ledger->blocks > first.blocks || ledger->bytes > first.bytes)
        ledger_fail("the library keeps more bytes", ledger->bytes);
    if (descriptors != first.descriptors)
        ledger_fail("descriptors are left open", descriptors);
    if (resident > first.resident + RESIDENT_ROOM)
        ledger_fail("resident memory grows", resident);
}

void ledger_close(const struct ledger *ledger)
{
    if (ledger->blocks)
        ledger_fail("blocks that nobody freed", ledger->blocks);
}

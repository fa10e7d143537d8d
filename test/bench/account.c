/* SPDX-License-Identifier: MIT */
#include "account.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

static FILE *open_file(long pid, const char *name, const char *mode)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
    return fopen(path, mode);
}

static FILE *open_or_end(long pid, const char *name)
{
    FILE *file = open_file(pid, name, "r");

    if (file)
        return file;
    fprintf(stderr, "account: %s of process %ld: %s\n", name, pid, strerror(errno));
    exit(1);
}

static void demand(bool found, const char *what)
{
    if (found)
        return;
    fprintf(stderr, "account: no %s\n", what);
    exit(1);
}

/* The time of all its threads, also of those that have ended. */
static uint64_t read_cpu_time(long pid)
{
    struct timespec time;
    clockid_t clock;

    demand(!clock_getcpuclockid((pid_t)pid, &clock) && !clock_gettime(clock, &time), "CPU time");
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void read_memory(long pid, struct account *account)
{
    char line[256];
    uint64_t kibibytes;
    FILE *file = open_or_end(pid, "status");

    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kibibytes) == 1)
            account->resident_bytes = kibibytes * 1024;
        if (sscanf(line, "VmHWM: %" SCNu64, &kibibytes) == 1)
            account->peak_bytes = kibibytes * 1024;
    }
    fclose(file);
    demand(account->resident_bytes && account->peak_bytes, "VmRSS and VmHWM");
}

struct account account_read(long pid)
{
    struct account account = {.cpu_ns = read_cpu_time(pid)};
    FILE *file = open_or_end(pid, "stat");

    demand(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64,
                  &account.user_ticks) == 1,
           "user time");
    fclose(file);
    read_memory(pid, &account);
    return account;
}

void account_forget_peak(long pid)
{
    FILE *file = open_file(pid, "clear_refs", "w");

    if (!file)
        return;
    (void)fputs("5", file);
    (void)fclose(file);
}

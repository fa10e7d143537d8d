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

static void add_memory(long pid, struct account *account)
{
    uint64_t kibibytes, resident = 0, peak = 0;
    char line[256];
    FILE *file = open_or_end(pid, "status");

    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kibibytes) == 1)
            resident = kibibytes * 1024;
        if (sscanf(line, "VmHWM: %" SCNu64, &kibibytes) == 1)
            peak = kibibytes * 1024;
    }
    fclose(file);
    demand(resident && peak, "VmRSS and VmHWM");
    account->resident_bytes += resident;
    account->peak_bytes += peak;
}

static void add_user_time(long pid, struct account *account)
{
    FILE *file = open_or_end(pid, "stat");
    uint64_t ticks;

    demand(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64, &ticks) == 1,
           "user time");
    fclose(file);
    account->user_ticks += ticks;
}

/* Returns 0 after the last one. */
static long next_process(const char **processes)
{
    char *end;
    long pid = strtol(*processes, &end, 10);

    *processes = *end == ',' ? end + 1 : end;
    return pid;
}

struct account account_read(const char *processes)
{
    struct account account = {.cpu_ns = 0};

    for (long pid = next_process(&processes); pid; pid = next_process(&processes)) {
        account.cpu_ns += read_cpu_time(pid);
        add_user_time(pid, &account);
        add_memory(pid, &account);
    }
    demand(account.resident_bytes, "process");
    return account;
}

void account_forget_peak(const char *processes)
{
    for (long pid = next_process(&processes); pid; pid = next_process(&processes)) {
        FILE *file = open_file(pid, "clear_refs", "w");

        if (!file)
            continue;
        (void)fputs("5", file);
        (void)fclose(file);
    }
}

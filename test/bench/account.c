/* SPDX-License-Identifier: MIT */
#include "account.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Of all threads that it has now: the file of the process tells of its first one alone. */
static uint64_t read_cpu_time(long pid)
{
    char path[64];
    uint64_t sum = 0;
    uint64_t of_one;
    struct dirent *entry;
    DIR *threads;

    snprintf(path, sizeof(path), "/proc/%ld/task", pid);
    threads = opendir(path);
    demand(threads != NULL, "threads");
    while ((entry = readdir(threads))) {
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "task/%.16s/schedstat", entry->d_name);
        file = open_or_end(pid, path);
        demand(fscanf(file, "%" SCNu64, &of_one) == 1, "schedstat");
        fclose(file);
        sum += of_one;
    }
    closedir(threads);
    return sum;
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

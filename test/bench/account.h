/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

/** CPU time and memory of other processes, as the kernel counts them. If one cannot be read, this process ends. */

#include <stdint.h>

struct account {
    uint64_t cpu_ns;
    uint64_t user_ticks; /* of sysconf(_SC_CLK_TCK) */
    uint64_t resident_bytes;
    uint64_t peak_bytes; /* the most that were resident since account_forget_peak */
};

/** Returns the sums over some processes. `processes`: their ids, with commas between them. */
struct account account_read(const char *processes);

/** Resets their peaks. If the kernel does not allow that, a peak may be too high, but never too low. */
void account_forget_peak(const char *processes);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

/** CPU time and memory of another process, as the kernel counts them. If the process cannot be read, this one
 *  ends. */

#include <stdint.h>

struct account {
    uint64_t cpu_ns;
    uint64_t user_ticks; /* of sysconf(_SC_CLK_TCK) */
    uint64_t resident_bytes;
    uint64_t peak_bytes; /* the most that were resident since account_forget_peak */
};

struct account account_read(long pid);

/** Resets the peak. If the kernel does not allow that, the peak may be too high, but never too low. */
void account_forget_peak(long pid);

#endif

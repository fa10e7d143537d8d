/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

/** What the kernel has charged to another process so far. A process that cannot be read ends this one. */

#include <stdint.h>

struct account {
    uint64_t cpu_ns;
    uint64_t user_ticks; /* of sysconf(_SC_CLK_TCK) */
    uint64_t resident_bytes;
    uint64_t peak_bytes; /* the most that were resident since account_forget_peak */
};

struct account account_read(long pid);

/** The peak begins anew; where the kernel does not allow it, it stays, and is too high rather than too low.
 */
void account_forget_peak(long pid);

#endif

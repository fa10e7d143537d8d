/* SPDX-License-Identifier: MIT */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include <stdint.h>

/** So many connections, a few hundred at a time, come and go over a polled loop, on sockets. */
void soak_connections(uint64_t count, uint64_t seed);

/** So many emitters with write callbacks live and end in a driven loop, with a clock of the test's own. */
void soak_lifecycles(uint64_t count, uint64_t seed);

#endif

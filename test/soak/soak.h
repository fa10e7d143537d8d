/* SPDX-License-Identifier: MIT */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include <stdint.h>

/** Opens and ends this many connections, a few hundred at a time, over a polled loop, on sockets. */
void soak_connections(uint64_t count, uint64_t seed);

/** Makes and ends this many emitters with write callbacks in a driven loop, with the test's own clock. */
void soak_lifecycles(uint64_t count, uint64_t seed);

#endif

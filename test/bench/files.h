/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <stddef.h>

/** Raises the limit of open files as far as this process may. Returns how many sockets it can then have in addition
 *  to its other files. */
size_t files_raise_limit(void);

#endif

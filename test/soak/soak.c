/* SPDX-License-Identifier: MIT */
/*
 * Very many streams begin and end. Nothing may grow, and each ends exactly once.
 *
 *   soak connections|lifecycles COUNT SEED
 */
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    uint64_t count = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t seed = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;

    if (count && !strcmp(argv[1], "connections")) {
        soak_connections(count, seed);
    } else if (count && !strcmp(argv[1], "lifecycles")) {
        soak_lifecycles(count, seed);
    } else {
        fprintf(stderr, "usage: soak connections|lifecycles COUNT SEED\n");
        return 2;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "exhaustive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void tell(const char *name, struct tally tally)
{
    printf("%s: %" PRIu64 " encoded, %" PRIu64 " refused\n", name, tally.encoded, tally.refused);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct share share;

    if (argc != 3) {
        fprintf(stderr, "usage: %s PART PARTS (such as 0 2 and 1 2, in two processes)\n", argv[0]);
        return 2;
    }
    share.part = strtoull(argv[1], NULL, 10);
    share.parts = strtoull(argv[2], NULL, 10);
    if (share.part >= share.parts)
        return 2;
    run_strings(share);
    run_combinations(share);
    run_offsets(share);
    run_utf8(share);
    run_retry(share);
    event_check_end();
    return 0;
}

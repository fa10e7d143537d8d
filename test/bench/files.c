/* SPDX-License-Identifier: MIT */
#include "files.h"

#include <sys/resource.h>

/* Files for the largest run, and files that are not connections. */
#define FILES_WANTED 65536
#define FILES_BESIDE 64

size_t files_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    if (limit.rlim_max < FILES_WANTED) {
        const struct rlimit wanted = {.rlim_cur = FILES_WANTED, .rlim_max = FILES_WANTED};

        /* Only a privileged process may do this. */
        (void)setrlimit(RLIMIT_NOFILE, &wanted);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < FILES_BESIDE)
        return 0;
    return (size_t)limit.rlim_cur - FILES_BESIDE;
}

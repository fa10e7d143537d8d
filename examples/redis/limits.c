/* SPDX-License-Identifier: MIT */
#include "limits.h"

#include <errno.h>
#include <sys/resource.h>

#define DESCRIPTORS_WANTED 65536
/* The standard three, the listener, pipes, the loop's, those of Redis, and some spare ones. */
#define DESCRIPTORS_RESERVED 32
#define REQUESTS_MAX 1024

int limits_find(struct limits *limits)
{
    struct rlimit limit, raised;
    size_t connections;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    raised = limit;
    raised.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    if (limit.rlim_cur < raised.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0)
        limit = raised;
    if (limit.rlim_cur < 2 * DESCRIPTORS_RESERVED)
        return -EMFILE;
    connections = limit.rlim_cur < DESCRIPTORS_WANTED ? (size_t)limit.rlim_cur : DESCRIPTORS_WANTED;
    connections -= DESCRIPTORS_RESERVED;
    limits->requests = connections / 4 < REQUESTS_MAX ? connections / 4 : REQUESTS_MAX;
    limits->streams = connections - limits->requests;
    return 0;
}

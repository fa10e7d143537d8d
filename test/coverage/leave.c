/* SPDX-License-Identifier: MIT */
/* A forked child of a test ends with _exit, which writes no counters. The coverage suite links every test with
 * --wrap=_exit and this file, which writes them. */

#include <sys/resource.h>

void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

#ifdef __clang__

int __llvm_profile_write_file(void);

static void write_counters(void)
{
    (void)__llvm_profile_write_file();
}

#else

void __gcov_dump(void);

static void write_counters(void)
{
    __gcov_dump();
}

#endif

/* A test may have lowered the limit. */
static void raise_limit(int resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(resource, &limit);
}

void __wrap__exit(int status)
{
    raise_limit(RLIMIT_FSIZE);
    raise_limit(RLIMIT_NOFILE);
    write_counters();
    __real__exit(status);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "child.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

void in_child(void (*body)(int argument), int argument)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child) {
        body(argument);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d, argument %d", WTERMSIG(status), argument);
    if (WEXITSTATUS(status))
        fail_msg("see above, argument %d", argument);
}

void child_require(bool holds, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d\n", file, line);
    _exit(1);
}

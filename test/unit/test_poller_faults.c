/* SPDX-License-Identifier: MIT */
/* Forks, and calls that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faulty_calls.h"
#include "poller_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child frees its copy, and the parent's poller works as before. */
static void a_forked_child_frees_its_copy(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;
    pid_t child;
    int status;

    poller_pair_add(stage, &pair, POLLER_INPUT);
    (void)stage->poller->descriptor(stage->poller);
    poller_stage_settle(stage);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        stage->poller->free(stage->poller);
        fake_platform_check_no_leak(&stage->fake);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
    poller_pair_send(&pair);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_INPUT);
    poller_pair_remove(stage, &pair);
}

/* What it is, whoever adds it knows: a connection costs one system call here, or none. */
static void adding_does_not_look_at_the_descriptor(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;

    faulty_calls_reset();
    poller_pair_add(stage, &pair, POLLER_INPUT);
    assert_int_equal(faulty_calls_made(FAULTY_FSTAT), 0);
    assert_int_equal(faulty_calls_made(FAULTY_EPOLL_CTL), poller_stage_is_epoll(stage));
    poller_pair_remove(stage, &pair);
}

/* A thread is inside `add` when another one forks. Here it is the same thread. */
struct forking {
    struct sse_platform platform;
    struct poller *poller;
    pid_t child;
    int deallocations;
};

static void *fork_and_allocate(size_t size, void *user)
{
    struct forking *forking = user;

    if (forking->poller && !forking->child) {
        forking->child = fork();
        if (!forking->child) {
            forking->poller->free(forking->poller);
            if (forking->deallocations)
                _exit(1);
            /* The child does not exit normally, because Helgrind and DRD would report a lock that is not
             * released. */
            raise(SIGKILL);
        }
    }
    return malloc(size);
}

static void deallocate(void *block, void *user)
{
    ((struct forking *)user)->deallocations++;
    free(block);
}

static void a_child_of_a_fork_during_an_add_leaves_everything(void **state)
{
    struct poller_stage *stage = *state;
    struct forking forking = {.platform = {.size = sizeof(struct sse_platform),
                                           .allocate = fork_and_allocate,
                                           .deallocate = deallocate}};
    struct poller_pair pair;
    int status;

    forking.platform.user = &forking;
    assert_int_equal(stage->make(&forking.poller, &forking.platform), 0);
    poller_pair_open(&pair);
    assert_int_equal(forking.poller->add(forking.poller, pair.ends[0], 1, POLLER_INPUT), 0);
    if (!poller_stage_is_epoll(stage)) { /* epoll allocates nothing */
        assert_int_equal(waitpid(forking.child, &status, 0), forking.child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    forking.poller->free(forking.poller);
    poller_pair_close(&pair);
}

/* Memory and descriptors */

static void no_memory_changes_nothing(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pairs[40];
    struct poller *poller = NULL;

    fake_platform_fail_at(&stage->fake, 1, true);
    assert_int_equal(stage->make(&poller, &stage->fake.platform), -ENOMEM);
    assert_null(poller);
    for (size_t i = 0; i < 40; i++) {
        size_t nth = 0;
        int error;

        poller_pair_open(&pairs[i]);
        do {
            fake_platform_fail_at(&stage->fake, ++nth, false);
            error = stage->poller->add(stage->poller, pairs[i].ends[0], pairs[i].generation, POLLER_INPUT);
            assert_true(error == 0 || error == -ENOMEM);
        } while (error);
        fake_platform_fail_at(&stage->fake, 0, false);
    }
    poller_stage_settle(stage);
    for (size_t i = 0; i < 40; i++) {
        poller_pair_send(&pairs[i]);
        assert_true(poller_stage_happened(stage, &pairs[i]) & POLLER_INPUT);
        poller_pair_remove(stage, &pairs[i]);
    }
}

static void descriptors_close_on_exec(void **state)
{
    struct poller_stage *stage = *state;
    struct poller *poller;
    bool was_open[100];

    for (int fd = 0; fd < 100; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    assert_int_equal(stage->make(&poller, &stage->fake.platform), 0);
    (void)poller->descriptor(poller);
    for (int fd = 0; fd < 100; fd++) {
        int flags = fcntl(fd, F_GETFD);

        assert_true(was_open[fd] || flags < 0 || flags & FD_CLOEXEC);
    }
    poller->free(poller);
    for (int fd = 0; fd < 100; fd++)
        assert_int_equal(fcntl(fd, F_GETFD) >= 0, was_open[fd]);
}

/* System calls that fail */

static void check_wait(struct poller_stage *stage, int error, int expected)
{
    enum faulty_call call = poller_stage_is_epoll(stage) ? FAULTY_EPOLL_WAIT : FAULTY_POLL;

    faulty_calls_fail(call, 0, 1, error);
    assert_int_equal(poller_stage_wait(stage), expected);
    assert_int_equal(faulty_calls_left(call), 0);
}

static void errors_of_a_wait_are_returned(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;

    poller_pair_add(stage, &pair, POLLER_INPUT);
    poller_pair_send(&pair);
    check_wait(stage, EINTR, 0);
    check_wait(stage, EINVAL, -EINVAL);
    check_wait(stage, ENOMEM, -ENOMEM);
    check_wait(stage, EBADF, -EBADF);
    check_wait(stage, EFAULT, -EFAULT);
    if (!poller_stage_is_epoll(stage))
        check_wait(stage, EAGAIN, 0);
    check_wait(stage, 0, 0);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_INPUT);
    poller_pair_remove(stage, &pair);
}

static int run(make_poller *const *maker, const char *name)
{
    const struct CMUnitTest tests[] = {
        POLLER_TEST(a_forked_child_frees_its_copy, maker),
        POLLER_TEST(adding_does_not_look_at_the_descriptor, maker),
        POLLER_TEST(a_child_of_a_fork_during_an_add_leaves_everything, maker),
        POLLER_TEST(no_memory_changes_nothing, maker),
        POLLER_TEST(descriptors_close_on_exec, maker),
        POLLER_TEST(errors_of_a_wait_are_returned, maker),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return poller_stage_run(run);
}

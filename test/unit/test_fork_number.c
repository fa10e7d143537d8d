/* SPDX-License-Identifier: MIT */
/* A child has the same process number as its parent, as the first processes of two PID namespaces have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/sse.h>

#include "child.h"

#include <pthread.h>
#include <sys/types.h>
#include <unistd.h>

pid_t __wrap_getpid(void);
int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

static bool without_memory;
static int handlers;
static struct sse_registry *registry;
static struct sse_loop *loop;
static struct sse_emitter *emitter;

pid_t __wrap_getpid(void)
{
    return 1;
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (without_memory)
        return ENOMEM;
    handlers++;
    return __real_pthread_atfork(prepare, parent, child);
}

static const struct sse_emitter_options options = {.size = sizeof(options), .output = SSE_OUTPUT_PULL};

/* This test runs first, because later there is a handler. */
static void without_memory_for_the_handler_nothing_is_made(void **state)
{
    (void)state;
    without_memory = true;
    assert_int_equal(sse_registry_new(&registry, NULL), -ENOMEM);
    assert_int_equal(sse_loop_new(&loop, NULL), -ENOMEM);
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), -ENOMEM);
    without_memory = false;
}

/* A server that makes a million emitters has one handler, not a million. */
static void the_handler_is_registered_once(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
        sse_emitter_close(emitter);
        assert_int_equal(sse_registry_new(&registry, NULL), 0);
        sse_registry_unref(registry);
        assert_int_equal(sse_loop_new(&loop, NULL), 0);
        sse_loop_free(loop);
    }
    assert_int_equal(handlers, 1);
}

static void call(int depth)
{
    struct sse_emitter_info info;

    CHILD_EXPECT(sse_emitter_get_info(emitter, &info, sizeof(info)) == -EPERM);
    CHILD_EXPECT(sse_registry_wait(registry, 0) == -EPERM);
    CHILD_EXPECT(sse_loop_stop(loop) == -EPERM);
    if (depth)
        in_child(call, depth - 1);
}

static void a_child_with_the_number_of_its_parent_is_refused(void **state)
{
    (void)state;
    assert_int_equal(sse_registry_new(&registry, NULL), 0);
    assert_int_equal(sse_loop_new(&loop, NULL), 0);
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
    in_child(call, 2);
    assert_int_equal(sse_registry_wait(registry, 0), 0);
    assert_int_equal(sse_loop_stop(loop), 0);
    sse_emitter_close(emitter);
    sse_loop_free(loop);
    sse_registry_unref(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_for_the_handler_nothing_is_made),
        cmocka_unit_test(the_handler_is_registered_once),
        cmocka_unit_test(a_child_with_the_number_of_its_parent_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A close that waits for another thread needs nothing that the system could refuse: it has no error to
 * return. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

static bool refuses;
static size_t conditions, waits; /* that were refused */

int __real_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    if (!refuses)
        return __real_pthread_cond_init(condition, attributes);
    conditions++;
    return ENOMEM;
}

/* As where a condition is allocated by its first wait. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    if (!refuses)
        return __real_pthread_cond_wait(condition, lock);
    waits++;
    return ENOMEM;
}

static struct fake_platform fake;
static struct fake_loop loop;
static struct fake_client client;
static atomic_bool inside, left;

/* Until the other thread has ended the emitter, and waits. */
static void stay_inside(struct fake_output *output, void *user)
{
    struct sse_emitter_info info = {.state = SSE_STATE_OPEN};

    (void)user;
    output->on_write = NULL;
    atomic_store(&inside, true);
    while (info.state != SSE_STATE_CLOSED) {
        sched_yield();
        info = fake_client_info(&client);
    }
    atomic_store(&left, true);
}

static void *take_turns(void *argument)
{
    (void)argument;
    (void)fake_loop_settle(&loop);
    return NULL;
}

/* Closes it while another thread is inside. */
static void close_from_outside(bool without_memory)
{
    const struct sse_event event = {.data = {"x", 1}};
    struct sse_emitter *closed;
    pthread_t thread;

    fake_client_new(&client, &fake, SSE_OUTPUT_CALLBACK, &loop);
    (void)fake_loop_settle(&loop);
    client.output.on_write = stay_inside;
    atomic_store(&inside, false);
    atomic_store(&left, false);
    closed = sse_emitter_ref(client.emitter);
    assert_int_equal(sse_emitter_send(closed, &event), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_turns, NULL), 0);
    while (!atomic_load(&inside))
        sched_yield();
    refuses = without_memory;
    sse_emitter_close(closed);
    refuses = false;
    assert_true(atomic_load(&left));
    pthread_join(thread, NULL);
    (void)fake_loop_settle(&loop);
    assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
    fake_client_free(&client);
}

static void a_close_waits_without_memory(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    loop = (struct fake_loop){.loop = NULL};
    fake_loop_open(&loop, &fake);
    close_from_outside(false);
    close_from_outside(true);
    assert_int_equal(conditions, 0);
    assert_true(waits > 0);
    fake_loop_close(&loop);
    assert_int_equal(atomic_load(&fake.blocks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_waits_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Another thread of the parent has locks when it forks. The objects behind these locks stay allocated in the child,
 * which does not hang. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"

#include <sse/registry.h>

#include "child.h"
#include "descriptor_pair.h"
#include "fake_platform.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* So many descriptors that the poller has a larger table for its next wait. */
#define DESCRIPTORS 20

static struct fake_platform fake;
static struct sse_loop *loop;
static struct sse_emitter *emitter, *other;
static struct descriptor_pair pair, other_pair;
static int releases;

static void count_release(void *user)
{
    (void)user;
    releases++;
}

static struct sse_emitter *open_emitter(struct descriptor_pair *at, struct sse_loop *in)
{
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &fake.platform,
                                          .loop = in,
                                          .output = SSE_OUTPUT_FD,
                                          .on_release = count_release};
    struct sse_emitter *opened;

    pair_open(at, PAIR_STREAM);
    options.fd = at->server;
    assert_int_equal(sse_emitter_new(&opened, &options, NULL), 0);
    return opened;
}

static int set_up(void **state)
{
    const struct sse_loop_options options = {.size = sizeof(options), .platform = &fake.platform};

    (void)state;
    fake_platform_init(&fake);
    assert_int_equal(sse_loop_new(&loop, &options), 0);
    releases = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sse_loop_free(loop);
    fake_platform_check_no_leak(&fake);
    return 0;
}

static void close_locked_emitter(int unused)
{
    (void)unused;
    sse_emitter_close(emitter);
    CHILD_EXPECT(!releases);
    CHILD_EXPECT(descriptor_is_open(pair.server));
}

static void an_emitter_of_which_a_thread_has_the_lock_is_left(void **state)
{
    (void)state;
    emitter = open_emitter(&pair, NULL);
    pthread_mutex_lock(&emitter->lock);
    in_child(close_locked_emitter, 0);
    pthread_mutex_unlock(&emitter->lock);
    sse_emitter_close(emitter);
    assert_int_equal(releases, 1);
    pair_close(&pair);
}

/* The other emitters are freed. */
static void free_loop_with_a_locked_emitter(int unused)
{
    (void)unused;
    sse_emitter_unref(emitter);
    sse_emitter_unref(other);
    sse_loop_free(loop);
    CHILD_EXPECT(releases == 1);
    CHILD_EXPECT(descriptor_is_open(pair.server));
    CHILD_EXPECT(!descriptor_is_open(other_pair.server));
}

static void a_loop_leaves_an_emitter_of_which_a_thread_has_the_lock(void **state)
{
    (void)state;
    emitter = open_emitter(&pair, loop);
    other = open_emitter(&other_pair, loop);
    pthread_mutex_lock(&emitter->lock);
    in_child(free_loop_with_a_locked_emitter, 0);
    pthread_mutex_unlock(&emitter->lock);
    sse_emitter_close(emitter);
    sse_emitter_close(other);
    assert_int_equal(sse_loop_dispatch(loop, 0), 0);
    assert_int_equal(sse_loop_dispatch(loop, 0), 0);
    assert_int_equal(releases, 2);
    pair_close(&pair);
    pair_close(&other_pair);
}

static const struct sse_event event = {.data = {.ptr = "x", .len = 1}};

/* A write callback that lasts until the child has ended. */
static struct {
    atomic_bool stay;
    atomic_bool is_inside;
} output;

static ssize_t write_slowly(void *user, const struct iovec *iov, int count)
{
    size_t size = 0;

    (void)user;
    atomic_store(&output.is_inside, true);
    while (atomic_load(&output.stay))
        sched_yield();
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return (ssize_t)size;
}

static void *write_event(void *looped)
{
    if (looped ? sse_loop_dispatch(loop, 0) : sse_emitter_send(emitter, &event))
        abort();
    return NULL;
}

static void free_while_writing(int looped)
{
    atomic_store(&output.stay, false);
    sse_emitter_close(emitter);
    if (looped)
        sse_loop_free(loop);
    CHILD_EXPECT(!releases);
}

/* What that thread had on its stack may be anything by now. */
static void an_emitter_into_whose_output_a_thread_was_writing_is_left(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        const struct sse_emitter_options options = {.size = sizeof(options),
                                                    .platform = &fake.platform,
                                                    .loop = looped ? loop : NULL,
                                                    .output = SSE_OUTPUT_CALLBACK,
                                                    .write = write_slowly,
                                                    .on_release = count_release};
        pthread_t thread;

        releases = 0;
        atomic_store(&output.stay, false);
        assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
        if (looped) {
            assert_int_equal(sse_loop_dispatch(loop, 0), 0);
            assert_int_equal(sse_emitter_send(emitter, &event), 0);
        }
        atomic_store(&output.is_inside, false);
        atomic_store(&output.stay, true);
        assert_int_equal(pthread_create(&thread, NULL, write_event, looped ? loop : NULL), 0);
        while (!atomic_load(&output.is_inside))
            sched_yield();
        in_child(free_while_writing, looped);
        atomic_store(&output.stay, false);
        pthread_join(thread, NULL);
        sse_emitter_close(emitter);
        for (int i = 0; looped && i < 2; i++)
            assert_int_equal(sse_loop_dispatch(loop, 0), 0);
        assert_int_equal(releases, 1);
    }
}

static void free_locked_loop(int unused)
{
    size_t blocks = atomic_load(&fake.blocks);

    (void)unused;
    sse_loop_free(loop);
    CHILD_EXPECT(atomic_load(&fake.blocks) == blocks);
    CHILD_EXPECT(descriptor_is_open(pair.server));
}

static void a_loop_of_which_a_thread_has_a_lock_is_left(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        pthread_mutex_t *lock = which ? &loop->marks.lock : &loop->lock;

        emitter = open_emitter(&pair, loop);
        pthread_mutex_lock(lock);
        in_child(free_locked_loop, 0);
        pthread_mutex_unlock(lock);
        sse_emitter_close(emitter);
        assert_int_equal(sse_loop_dispatch(loop, 0), 0);
        pair_close(&pair);
    }
}

/* The poller has its own lock. A thread that waits has it while it frees memory. */
static struct {
    struct sse_platform platform;
    atomic_bool stay;
    atomic_bool is_inside;
    struct poller *poller;
} slow;

static void *allocate(size_t size, void *user)
{
    (void)user;
    return fake.platform.allocate(size, &fake);
}

static void deallocate_slowly(void *block, void *user)
{
    (void)user;
    if (atomic_load(&slow.stay)) {
        atomic_store(&slow.is_inside, true);
        while (atomic_load(&slow.stay))
            sched_yield();
    }
    fake.platform.deallocate(block, &fake);
}

static void *wait_for_events(void *user)
{
    struct poller_event events[POLLER_EVENTS_MAX];

    (void)user;
    if (slow.poller->wait(slow.poller, events, 0))
        abort();
    return NULL;
}

static void free_locked_poller(int unused)
{
    size_t blocks = atomic_load(&fake.blocks);

    (void)unused;
    atomic_store(&slow.stay, false);
    slow.poller->free(slow.poller);
    CHILD_EXPECT(atomic_load(&fake.blocks) == blocks);
}

static void a_poller_of_which_a_thread_has_the_lock_is_left(void **state)
{
    int ends[DESCRIPTORS][2];
    pthread_t thread;

    (void)state;
    slow.platform = (struct sse_platform){
        .size = sizeof(slow.platform), .allocate = allocate, .deallocate = deallocate_slowly};
    atomic_store(&slow.stay, false);
    atomic_store(&slow.is_inside, false);
    assert_int_equal(sse_poller_poll_new(&slow.poller, &slow.platform), 0);
    for (uint32_t i = 0; i < DESCRIPTORS; i++) {
        assert_int_equal(pipe(ends[i]), 0);
        assert_int_equal(slow.poller->add(slow.poller, ends[i][0], i, POLLER_INPUT), 0);
        if (!i)
            wait_for_events(NULL);
    }
    atomic_store(&slow.stay, true);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_events, NULL), 0);
    while (!atomic_load(&slow.is_inside))
        sched_yield();
    in_child(free_locked_poller, 0);
    atomic_store(&slow.stay, false);
    pthread_join(thread, NULL);
    slow.poller->free(slow.poller);
    for (size_t i = 0; i < DESCRIPTORS; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_emitter_of_which_a_thread_has_the_lock_is_left),
        TEST(an_emitter_into_whose_output_a_thread_was_writing_is_left),
        TEST(a_loop_leaves_an_emitter_of_which_a_thread_has_the_lock),
        TEST(a_loop_of_which_a_thread_has_a_lock_is_left),
        TEST(a_poller_of_which_a_thread_has_the_lock_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What a forked child frees: emitters that ended before the fork, and a registry for which the parent waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/loop.h>
#include <sse/registry.h>

#include "child.h"
#include "descriptor_pair.h"
#include "fake_platform.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define ROUNDS 5

static struct fake_platform fake;
static struct sse_loop *loop;
static struct sse_emitter *emitter;
static struct sse_registry *registry;
static struct descriptor_pair pair;
static int releases;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static void count_release(void *user)
{
    (void)user;
    releases++;
}

static void open_emitter(bool looped)
{
    const struct sse_loop_options loop_options = {.size = sizeof(loop_options), .platform = &fake.platform};
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &fake.platform,
                                          .output = SSE_OUTPUT_FD,
                                          .on_release = count_release};

    loop = NULL;
    if (looped)
        assert_int_equal(sse_loop_new(&loop, &loop_options), 0);
    pair_open(&pair, PAIR_STREAM);
    options.fd = pair.server;
    options.loop = loop;
    releases = 0;
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
}

/* The orders in which the references may be released. The second reference is last, or before the loop. */
enum order { LOOP_LAST, LOOP_FIRST, LOOP_BETWEEN, ORDERS };

static void free_all(enum order order, bool twice)
{
    if (order == LOOP_FIRST)
        sse_loop_free(loop);
    sse_emitter_close(emitter);
    if (order == LOOP_BETWEEN)
        sse_loop_free(loop);
    if (twice) {
        CHILD_EXPECT(!releases);
        CHILD_EXPECT(!sse_emitter_user(emitter));
        sse_emitter_unref(emitter);
    }
    if (order == LOOP_LAST)
        sse_loop_free(loop);
    CHILD_EXPECT(releases == 1);
    CHILD_EXPECT(!descriptor_is_open(pair.server));
    CHILD_EXPECT(!atomic_load(&fake.blocks));
}

static void free_in_child(int argument)
{
    free_all((enum order)(argument / 2), argument % 2);
}

/* The emitter had ended, and the parent's loop had taken this many turns: it has not finished yet, or it has. */
static void held_after_its_end(bool looped, int turns)
{
    for (int i = 0; i < ORDERS * 2; i++) {
        open_emitter(looped);
        if (i % 2)
            sse_emitter_ref(emitter);
        assert_int_equal(sse_emitter_abort(emitter, -ECONNRESET), 0);
        for (int k = 0; k < turns; k++)
            assert_int_equal(sse_loop_dispatch(loop, 0), 0);
        in_child(free_in_child, i);
        free_all((enum order)(i / 2), i % 2);
        pair_close(&pair);
    }
}

static void an_emitter_that_has_ended_is_freed_with_its_last_reference(void **state)
{
    (void)state;
    held_after_its_end(false, 0);
    for (int turns = 0; turns < 4; turns++)
        held_after_its_end(true, turns);
}

/* Without a loop and without an end: the child closes its copy of the descriptor, if the library owns it, and the
 * stream continues in the parent. */
static void free_what_is_open(int keep_fd)
{
    sse_emitter_close(emitter);
    CHILD_EXPECT(releases == 1);
    CHILD_EXPECT(descriptor_is_open(pair.server) == keep_fd);
    CHILD_EXPECT(!atomic_load(&fake.blocks));
}

static void an_open_emitter_without_a_loop_goes_on_in_the_parent(void **state)
{
    (void)state;
    for (int keep_fd = 0; keep_fd < 2; keep_fd++) {
        struct sse_emitter_options options = {.size = sizeof(options),
                                              .platform = &fake.platform,
                                              .output = SSE_OUTPUT_FD,
                                              .keep_fd = keep_fd,
                                              .on_release = count_release};

        pair_open(&pair, PAIR_STREAM);
        options.fd = pair.server;
        releases = 0;
        assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
        pair_expect(&pair, ":\n");
        in_child(free_what_is_open, keep_fd);
        assert_true(pair_is_quiet(&pair));
        assert_int_equal(sse_emitter_send(emitter, &(struct sse_event){.data = sse_str("x")}), 0);
        pair_expect(&pair, "data: x\n\n");
        sse_emitter_close(emitter);
        assert_int_equal(releases, 1);
        assert_int_equal(descriptor_is_open(pair.server), keep_fd);
        pair_close(&pair);
    }
}

static void *close_with_a_cancellation_pending(void *unused)
{
    pthread_cancel(pthread_self());
    sse_emitter_close(emitter);
    return unused;
}

/* close(2) is a cancellation point, but no function of the library is. */
static void free_in_a_cancelled_thread(int argument)
{
    pthread_t thread;
    void *result;

    (void)argument;
    CHILD_EXPECT(!pthread_create(&thread, NULL, close_with_a_cancellation_pending, NULL));
    CHILD_EXPECT(!pthread_join(thread, &result) && !result);
    CHILD_EXPECT(releases == 1);
    CHILD_EXPECT(!descriptor_is_open(pair.server));
    CHILD_EXPECT(!atomic_load(&fake.blocks));
}

static void no_close_in_a_child_is_cancelled(void **state)
{
    (void)state;
    open_emitter(false);
    in_child(free_in_a_cancelled_thread, 0);
    sse_emitter_close(emitter);
    pair_close(&pair);
}

/* A timer ended the emitter in the turn in which it was marked. It has finished, but the loop has it for another
 * turn. */
static struct sse_emitter *marked;

static ssize_t send_to_marked(void *is_sender, const struct iovec *iov, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (is_sender && marked)
        assert_int_equal(sse_emitter_send(marked, &(struct sse_event){.data = sse_str("x")}), 0);
    return (ssize_t)size;
}

static void wake_nobody(struct sse_loop *of, void *user)
{
    (void)of, (void)user;
}

static struct sse_emitter *open_callback(int64_t lifetime_ms, void *is_sender)
{
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .platform = &fake.platform,
                                                .loop = loop,
                                                .output = SSE_OUTPUT_CALLBACK,
                                                .write = send_to_marked,
                                                .lifetime_ms = lifetime_ms,
                                                .on_release = count_release,
                                                .user = is_sender};
    struct sse_emitter *opened;

    assert_int_equal(sse_emitter_new(&opened, &options, NULL), 0);
    return opened;
}

static void free_what_is_marked(int loop_first)
{
    if (loop_first)
        sse_loop_free(loop);
    sse_emitter_close(emitter);
    if (!loop_first)
        sse_loop_free(loop);
    CHILD_EXPECT(releases == 2);
    CHILD_EXPECT(!atomic_load(&fake.blocks));
}

static void an_emitter_that_finished_with_a_mark_is_freed_once(void **state)
{
    const struct sse_loop_options loop_options = {
        .size = sizeof(loop_options), .platform = &fake.platform, .on_wake = wake_nobody};

    (void)state;
    for (int loop_first = 0; loop_first < 2; loop_first++) {
        struct sse_emitter *sender;

        assert_int_equal(sse_loop_new(&loop, &loop_options), 0);
        releases = 0;
        emitter = open_callback(1000, NULL);
        sender = open_callback(0, &releases);
        (void)sse_loop_turn(loop);
        marked = emitter;
        fake_platform_advance_ms(&fake, 1000);
        assert_int_equal(sse_emitter_send(sender, &(struct sse_event){.data = sse_str("x")}), 0);
        (void)sse_loop_turn(loop);
        marked = NULL;
        sse_emitter_unref(sender);
        in_child(free_what_is_marked, loop_first);
        assert_int_equal(releases, 0);
        free_what_is_marked(loop_first);
    }
}

static void *wait_for_all(void *started)
{
    atomic_store((atomic_bool *)started, true);
    if (sse_registry_wait(registry, -1))
        abort();
    return NULL;
}

/* Memory that the parent's thread uses at that moment may stay allocated. */
static void free_what_is_waited_for(int argument)
{
    (void)argument;
    sse_emitter_close(emitter);
    sse_registry_unref(registry);
}

static void a_registry_that_is_waited_for_does_not_hang_the_child(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};
    struct sse_emitter_options pull = {.size = sizeof(pull), .output = SSE_OUTPUT_PULL};

    (void)state;
    pull.platform = &fake.platform;
    for (int round = 0; round < ROUNDS; round++) {
        atomic_bool started = false;
        pthread_t thread;

        assert_int_equal(sse_registry_new(&registry, &options), 0);
        pull.registry = registry;
        assert_int_equal(sse_emitter_new(&emitter, &pull, NULL), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_all, &started), 0);
        while (!atomic_load(&started))
            sched_yield();
        /* The thread soon sleeps. The time before that only decides what the child finds. */
        for (int i = 0; i < 1000; i++)
            sched_yield();
        in_child(free_what_is_waited_for, 0);
        sse_emitter_close(emitter);
        pthread_join(thread, NULL);
        sse_registry_unref(registry);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_emitter_that_has_ended_is_freed_with_its_last_reference),
        TEST(an_open_emitter_without_a_loop_goes_on_in_the_parent),
        TEST(no_close_in_a_child_is_cancelled),
        TEST(an_emitter_that_finished_with_a_mark_is_freed_once),
        TEST(a_registry_that_is_waited_for_does_not_hang_the_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Arguments that are refused, and what happens when there is no memory, no descriptor, or no connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 1000
#define BATCH 100

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

static struct sse_loop_options options_of(struct loop_stage *stage)
{
    return (struct sse_loop_options){
        .size = sizeof(struct sse_loop_options), .platform = &stage->fake.platform, .poller = stage->poller};
}

/* A new loop */

static void refuses(const struct sse_loop_options *options)
{
    struct sse_loop *loop = NULL;

    assert_int_equal(sse_loop_new(&loop, options), -EINVAL);
    assert_null(loop);
}

static void bad_arguments_of_new(void **state)
{
    struct loop_stage *stage = *state;
    const struct sse_loop_options good = options_of(stage);
    struct sse_loop_options bad = good;
    struct sse_platform half = stage->fake.platform;

    assert_int_equal(sse_loop_new(NULL, &good), -EINVAL);
    for (bad.size = 0; bad.size < sizeof(bad); bad.size++)
        refuses(&bad);
    bad.size = SIZE_MAX;
    refuses(&bad);
    bad = good;
    bad.poller = (enum sse_poller)3;
    refuses(&bad);
    bad = good;
    bad.platform = &half;
    half.deallocate = NULL;
    refuses(&bad);
    half = stage->fake.platform;
    half.size = 0;
    refuses(&bad);
}

/* Members that this library does not know must be zero. */
static void options_of_a_later_version(void **state)
{
    struct {
        struct sse_loop_options options;
        unsigned char more[32];
    } larger = {.options = options_of(*state)};
    struct sse_loop *loop;

    larger.options.size = sizeof(larger);
    assert_int_equal(sse_loop_new(&loop, &larger.options), 0);
    sse_loop_free(loop);
    for (size_t i = 0; i < sizeof(larger.more); i++) {
        larger.more[i] = 1;
        refuses(&larger.options);
        larger.more[i] = 0;
    }
}

static void best_poller(void **state)
{
    struct loop_stage *stage = *state;

    stage->poller = SSE_POLLER_BEST;
    loop_stage_open_loop(stage);
    if (loop_stage_has(SSE_POLLER_EPOLL))
        assert_true(sse_loop_fd(stage->loop) >= 0);
    else
        assert_int_equal(sse_loop_fd(stage->loop), -ENOTSUP);
}

static void options_may_be_left_out(void **state)
{
    struct sse_loop *loop;

    (void)state;
    assert_int_equal(sse_loop_new(&loop, NULL), 0);
    assert_int_equal(sse_loop_dispatch(loop, 0), 0);
    sse_loop_free(loop);
}

static rlim_t set_descriptor_limit(rlim_t limit)
{
    struct rlimit now;
    rlim_t before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    before = now.rlim_cur;
    now.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void no_descriptors_for_new(void **state)
{
    struct loop_stage *stage = *state;
    const struct sse_loop_options options = options_of(stage);
    size_t blocks = atomic_load(&stage->fake.blocks);
    size_t descriptors = descriptor_count();
    struct sse_loop *loop = NULL;
    size_t more = 0;
    int error;

    do {
        /* The used numbers may have holes, so the first few limits may all be too low. */
        rlim_t before = set_descriptor_limit(more);

        error = sse_loop_new(&loop, &options);
        (void)set_descriptor_limit(before);
        if (error) {
            assert_int_equal(error, -EMFILE);
            assert_null(loop);
            assert_int_equal(atomic_load(&stage->fake.blocks), blocks);
            assert_int_equal(descriptor_count(), descriptors);
        }
        more++;
    } while (error && more < 1000);
    assert_int_equal(error, 0);
    (void)sse_loop_fd(loop);
    assert_true(descriptor_count() - descriptors <= 4);
    sse_loop_free(loop);
}

/* Once the loop is made, it needs no more descriptors. */
static void no_descriptors_for_anything_else(void **state)
{
    struct loop_client client;
    rlim_t before;

    loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
    before = set_descriptor_limit(0);
    assert_int_equal(loop_client_try_open(&client, NULL), 0);
    /* But poll(2) fails if the limit is below the number of its descriptors. */
    (void)set_descriptor_limit(2);
    assert_int_equal(loop_client_send(&client, "x"), 0);
    loop_client_expect(&client, ":\ndata: x\n\n");
    loop_client_leave(&client);
    while (!atomic_load(&client.completions))
        loop_stage_dispatch(client.stage);
    (void)set_descriptor_limit(before);
    loop_client_depart(&client);
}

/* Not under valgrind, which keeps its own limit. */
static bool poll_fails_over_the_limit(void)
{
    struct pollfd polls[2] = {{.fd = -1}, {.fd = -1}};

    return poll(polls, 2, 0) < 0 && errno == EINVAL;
}

static void error_of_the_wait_is_returned(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    int dispatched = -EINVAL, run = -EINVAL;
    rlim_t before;

    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    before = set_descriptor_limit(1);
    if (poll_fails_over_the_limit()) {
        dispatched = sse_loop_dispatch(stage->loop, 0);
        run = sse_loop_run(stage->loop);
    }
    (void)set_descriptor_limit(before);
    assert_int_equal(dispatched, -EINVAL);
    assert_int_equal(run, -EINVAL);
    loop_stage_dispatch(stage);
    loop_client_depart(&client);
}

static void bad_arguments(void **state)
{
    struct loop_stage *stage = *state;

    assert_int_equal(sse_loop_run(NULL), -EINVAL);
    assert_int_equal(sse_loop_stop(NULL), -EINVAL);
    assert_int_equal(sse_loop_finish(NULL), -EINVAL);
    assert_int_equal(sse_loop_count(NULL), 0);
    assert_int_equal(sse_loop_fd(NULL), -EINVAL);
    assert_int_equal(sse_loop_turn(NULL), -EINVAL);
    assert_int_equal(sse_loop_dispatch(NULL, 0), -EINVAL);
    assert_int_equal(sse_loop_dispatch(stage->loop, -2), -EINVAL);
    assert_int_equal(sse_loop_turn(stage->loop), -EINVAL);
}

/* New emitters */

/* The loop works without memory, and writing needs none. */
static void no_memory_while_it_runs(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client staying, leaving;
    size_t size;

    loop_client_open(&staying, stage, LOOP_CLIENT_TCP, NULL);
    loop_client_open(&leaving, stage, LOOP_CLIENT_TCP, NULL);
    size = loop_client_fill(&staying);
    fake_platform_fail_at(&stage->fake, 1, true);
    loop_client_drain(&staying, size);
    loop_client_leave(&leaving);
    loop_client_dispatch_to_end(&leaving);
    fake_platform_fail_at(&stage->fake, 0, false);
    loop_client_depart(&leaving);
    loop_client_depart(&staying);
}

/* epoll cannot watch a regular file. That is not necessary, because the file is never full and never
 * disconnects. */
static void a_regular_file(void **state)
{
    FILE *file = tmpfile();
    struct loop_client client = {.stage = *state, .fd = -1};

    assert_non_null(file);
    client.server_fd = fcntl(fileno(file), F_DUPFD, 0);
    assert_int_equal(loop_client_try_open(&client, NULL), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(loop_client_send(&client, "x"), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), (off_t)strlen(":\ndata: x\n\n"));
    loop_client_close(&client);
    fclose(file);
}

static void take_the_number(struct loop_client *client)
{
    (void)dup2(client->fd, client->server_fd);
}

/* A violation of the rules. Still, the loop must become idle again. Only poll reports this error. */
static void a_descriptor_closed_behind_the_loop(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(*state);
    close(client.server_fd);
    client.when_ended = take_the_number;
    if (client.stage->poller == SSE_POLLER_EPOLL)
        assert_int_equal(loop_client_send(&client, "x"), -EBADF);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&client.completions), 1);
    /* The number belongs to another file now, so the loop must not close it. */
    assert_int_equal(close(client.server_fd), 0);
    loop_client_close(&client);
}

/* The loop must not close the file that has the number now, even if the poller has noticed nothing. */
static void a_descriptor_replaced_behind_the_loop(void **state)
{
    struct loop_client client;
    int stranger = open("/dev/null", O_WRONLY);

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(*state);
    assert_int_equal(dup2(stranger, client.server_fd), client.server_fd);
    assert_int_equal(loop_client_send(&client, "x"), -ENOTSOCK);
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&client.completions), 1);
    assert_int_equal(close(client.server_fd), 0);
    assert_int_equal(close(stranger), 0);
    loop_client_close(&client);
}

/* A socket would accept the same calls as the emitter's own file. Only the identity of the file differs. */
static void another_socket_has_the_number(void **state)
{
    struct loop_client client;
    struct descriptor_pair stranger;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(*state);
    pair_open(&stranger, PAIR_STREAM);
    assert_int_equal(dup2(stranger.server, client.server_fd), client.server_fd);
    assert_int_equal(close(stranger.server), 0);
    assert_int_equal(sse_emitter_abort(client.emitter, -EIO), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&client.completions), 1);
    assert_true(pair_is_quiet(&stranger));
    assert_int_equal(write(client.server_fd, "mine", 4), 4);
    pair_expect(&stranger, "mine");
    assert_int_equal(close(client.server_fd), 0);
    assert_int_equal(close(stranger.client), 0);
    loop_client_close(&client);
}

/* The caller chooses the number of the next connection. */
static void connect_with_number(struct loop_client *client, struct loop_stage *stage, int number)
{
    loop_client_connect(client, stage, LOOP_CLIENT_UNIX);
    if (client->server_fd == number)
        return;
    if (client->fd == number)
        client->fd = dup(number);
    assert_int_equal(dup2(client->server_fd, number), number);
    close(client->server_fd);
    client->server_fd = number;
}

/* Another process still has the old file open, and the kernel reports it by its old name. Row L16. */
static void an_old_file_of_a_number_ends_nobody(void **state)
{
    struct loop_client old, new;
    int copy;

    loop_client_open(&old, *state, LOOP_CLIENT_UNIX, NULL);
    loop_stage_dispatch(*state);
    copy = dup(old.server_fd);
    close(old.server_fd);
    assert_int_equal(sse_emitter_abort(old.emitter, -EIO), 0);
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&old.completions), 1);
    connect_with_number(&new, *state, old.server_fd);
    loop_client_make_emitter(&new, NULL);
    assert_int_equal(write(old.fd, "x", 1), 1);
    loop_stage_dispatch(*state);
    loop_client_close(&old);
    loop_stage_dispatch(*state);
    assert_int_equal(atomic_load(&new.completions), 0);
    assert_int_equal(loop_client_send(&new, "x"), 0);
    loop_client_expect(&new, "data: x\n\n");
    close(copy);
    loop_client_depart(&new);
}

/* Many connections */

static void ends_somehow(struct loop_client *client, int way)
{
    switch (way % 6) {
    case 0:
        loop_client_leave(client);
        break;
    case 1:
        loop_client_reset(client);
        break;
    case 2:
        (void)sse_emitter_complete(client->emitter);
        break;
    case 3:
        (void)sse_emitter_abort(client->emitter, -ECANCELED);
        break;
    case 4:
        (void)loop_client_fill(client);
        loop_client_leave(client);
        break;
    default:
        shutdown(client->fd, SHUT_WR);
        loop_stage_dispatch(client->stage);
        (void)sse_emitter_complete(client->emitter);
    }
}

static void thousand_connections_leave_nothing_behind(void **state)
{
    static struct loop_client clients[BATCH];
    struct loop_stage *stage = *state;
    size_t descriptors = descriptor_count();

    for (int done = 0; done < CONNECTIONS; done += BATCH) {
        for (int i = 0; i < BATCH; i++)
            loop_client_open(&clients[i], stage, LOOP_CLIENT_TCP, NULL);
        loop_stage_dispatch(stage);
        assert_int_equal(descriptor_count(), descriptors + 2 * BATCH);
        for (int i = 0; i < BATCH; i++)
            ends_somehow(&clients[i], i);
        for (int i = 0; i < BATCH; i++)
            while (!atomic_load(&clients[i].completions))
                assert_int_equal(sse_loop_dispatch(stage->loop, -1), 0);
        for (int i = 0; i < BATCH; i++) {
            loop_client_close(&clients[i]);
            assert_int_equal(atomic_load(&clients[i].completions), 1);
        }
        assert_int_equal(descriptor_count(), descriptors);
        assert_int_equal(sse_registry_count(stage->registry, sse_str(NULL)), 0);
        assert_int_equal(sse_loop_count(stage->loop), 0);
    }
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))
#define TEST_OF_NEW(function, poller)                                                                        \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up_without_loop, loop_stage_tear_down, \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_NEW(bad_arguments_of_new, poller),
        TEST_OF_NEW(options_of_a_later_version, poller),
        TEST_OF_NEW(best_poller, poller),
        TEST_OF_NEW(options_may_be_left_out, poller),
        TEST_OF_NEW(no_descriptors_for_new, poller),
        TEST(no_descriptors_for_anything_else, poller),
        TEST(bad_arguments, poller),
        TEST(no_memory_while_it_runs, poller),
        TEST(a_regular_file, poller),
        TEST(a_descriptor_closed_behind_the_loop, poller),
        TEST(a_descriptor_replaced_behind_the_loop, poller),
        TEST(another_socket_has_the_number, poller),
        TEST(an_old_file_of_a_number_ends_nobody, poller),
        TEST(thousand_connections_leave_nothing_behind, poller),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* Only with poll can a test cause an error that stays. */
static int run_with_poll(const enum sse_poller *poller)
{
    const struct CMUnitTest tests[] = {
        TEST(error_of_the_wait_is_returned, poller),
    };

    return cmocka_run_group_tests_name("errors of poll", tests, NULL, NULL);
}

int main(void)
{
    int failed = run(&pollers[0], "poll") + run_with_poll(&pollers[0]);

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}

/* SPDX-License-Identifier: MIT */
/* The reconnection times of a shutdown: a different one for each client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 10000
#define BUCKETS 100

static int shut_down(int64_t retry_min, int64_t retry_max)
{
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .retry_min_ms = retry_min, .retry_max_ms = retry_max, .drain_ms = 1000};

    return sse_registry_shutdown(registry, &options);
}

static long retry_of(struct fake_client *client)
{
    const char *text = fake_client_events(client);
    char *end;
    long retry;

    assert_memory_equal(text, "retry: ", 7);
    retry = strtol(text + 7, &end, 10);
    assert_string_equal(end, "\n\n");
    return retry;
}

/* Ten thousand clients, and one hundred parts of the range: the clients are spread evenly. */
static void check_spread(const struct sse_platform *with, long min, long max)
{
    struct sse_registry_options options = {.size = sizeof(options), .platform = with};
    struct fake_client *many = calloc(MANY, sizeof(*many));
    unsigned buckets[BUCKETS] = {0};
    long lowest = max, highest = min;

    assert_non_null(many);
    sse_registry_unref(registry);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    for (size_t i = 0; i < MANY; i++) {
        fake_client_init(&many[i], &platform, SSE_OUTPUT_CALLBACK);
        many[i].loop = &loop;
        many[i].options.registry = registry;
        assert_int_equal(join(&many[i], "", absent), 0);
    }
    assert_int_equal(shut_down(min, max), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().shutdown_completed, MANY);
    for (size_t i = 0; i < MANY; i++) {
        long retry = retry_of(&many[i]);

        assert_in_range(retry, min, max);
        buckets[(int64_t)(retry - min) * BUCKETS / ((int64_t)max - min + 1)]++;
        lowest = retry < lowest ? retry : lowest;
        highest = retry > highest ? retry : highest;
        fake_client_free(&many[i]);
    }
    for (size_t i = 0; i < BUCKETS; i++)
        assert_in_range(buckets[i], 1, 2 * MANY / BUCKETS);
    assert_in_range(lowest - min, 0, (max - min) / 100);
    assert_in_range(max - highest, 0, (max - min) / 100);
    free(many);
}

/* Fault 51. */
static void many_clients_do_not_reconnect_at_once(void **state)
{
    (void)state;
    check_spread(&platform.platform, 1000, 10999);
    check_spread(&platform.platform, 1, SSE_RETRY_MAX);
    check_spread(NULL, 500, 30499);
}

/* Both ends of a range can occur. */
static void a_range_includes_its_ends(void **state)
{
    unsigned seen[3] = {0};

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        long retry;

        use_registry((struct sse_registry_options){.size = 0});
        enter(0, "");
        assert_int_equal(shut_down(8, 10), 0);
        (void)fake_loop_settle(&loop);
        retry = retry_of(&clients[0]);
        assert_in_range(retry, 8, 10);
        seen[retry - 8]++;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
}

static void wake_nobody(struct sse_loop *woken, void *user)
{
    (void)woken, (void)user;
}

/* Returns the times that a separate process sends to its clients, one after the other. */
static void shut_down_in_child(int fd)
{
    const struct sse_loop_options driven = {.size = sizeof(driven), .on_wake = wake_nobody};
    const struct sse_shutdown_options range = {
        .size = sizeof(range), .retry_min_ms = 1, .retry_max_ms = SSE_RETRY_MAX, .drain_ms = 1000};
    struct sse_emitter_options options = {
        .size = sizeof(options), .output = SSE_OUTPUT_FD, .fd = fd, .keep_fd = true};
    struct sse_emitter *emitter;
    int error = sse_registry_new(&options.registry, NULL);

    if (!error)
        error = sse_loop_new(&options.loop, &driven);
    for (size_t i = 0; !error && i < CLIENTS; i++) {
        options.fd = dup(fd);
        error = sse_emitter_new(&emitter, &options, NULL);
    }
    if (!error)
        error = sse_registry_shutdown(options.registry, &range);
    for (size_t i = 0; !error && i < 3; i++)
        error = sse_loop_turn(options.loop) < -1;
    _exit(error ? 1 : 0);
}

static void read_shutdown_of_child(char *text, size_t size)
{
    int ends[2], status;
    ssize_t part;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        shut_down_in_child(ends[1]);
    close(ends[1]);
    while ((part = read(ends[0], text, size - 1)) > 0) {
        text += part;
        size -= (size_t)part;
    }
    *text = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Workers forked from the same parent have their emitters at the same addresses. */
static void workers_of_one_server_send_different_retries(void **state)
{
    char texts[2][1024];

    (void)state;
    read_shutdown_of_child(texts[0], sizeof(texts[0]));
    read_shutdown_of_child(texts[1], sizeof(texts[1]));
    assert_non_null(strstr(texts[0], "retry: "));
    assert_string_not_equal(texts[0], texts[1]);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(many_clients_do_not_reconnect_at_once),
        STAGE_TEST(a_range_includes_its_ends),
        STAGE_TEST(workers_of_one_server_send_different_retries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

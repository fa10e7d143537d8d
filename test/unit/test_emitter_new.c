/* SPDX-License-Identifier: MIT */
/* Which options sse_emitter_new accepts, and what it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIFETIME_MS 100000
#define HEAD_BEGIN "HTTP/1.1 200 OK\r\n"

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client client;

static int set_up(void **state)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .platform = &fake.platform, .history = {.events = 100}};

    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (client.emitter)
        fake_client_free(&client);
    fake_loop_close(&loop);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

/* Makes an emitter with these options and frees it, or checks that nothing has happened. */
static int try_options(void)
{
    int error = fake_client_try_open(&client);

    assert_int_equal(!client.emitter, error != 0);
    if (error) {
        assert_int_equal(client.output.calls, 0);
        assert_int_equal(client.releases + client.completions, 0);
    } else {
        fake_client_free(&client);
        assert_int_equal(client.completions, 1);
    }
    return error;
}

#define MEMBER(member)                                                                                       \
    offsetof(struct sse_emitter_options, member), sizeof(((struct sse_emitter_options *)0)->member)

static void members_have_their_ranges(void **state)
{
    static const struct {
        size_t offset, size;
        int error; /* the error for each of the first `bad` values; the `good` values after them are accepted */
        int bad, good;
        int64_t values[6];
    } rows[] = {
        {MEMBER(output), -EINVAL, 3, 0, {0, 4, INT_MAX}},
        {MEMBER(framing), -EINVAL, 2, 2, {2, INT_MAX, SSE_FRAMING_RAW, SSE_FRAMING_CHUNKED}},
        {MEMBER(overflow), -EINVAL, 2, 2, {4, INT_MAX, SSE_OVERFLOW_END, SSE_OVERFLOW_COALESCE}},
        {MEMBER(write), -EINVAL, 1, 0, {0}},
        {MEMBER(fd), 0, 0, 2, {-1, INT_MAX}},
        {MEMBER(retry_ms), -ERANGE, 4, 2, {-1, INT64_MIN, SSE_RETRY_MAX + 1, INT64_MAX, 1, SSE_RETRY_MAX}},
        {MEMBER(start_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(lifetime_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(lifetime_jitter_ms), -EINVAL, 3, 2, {-1, LIFETIME_MS + 1, INT64_MAX, 1, LIFETIME_MS}},
        {MEMBER(stall_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(drain_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(heartbeat_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(queue_bytes), 0, 0, 3, {0, 1, -1}},
        {MEMBER(queue_messages), 0, 0, 3, {0, 1, -1}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int k = 0; k < rows[i].bad + rows[i].good; k++) {
            int64_t value = rows[i].values[k];
            int narrow = (int)value, error;
            const void *from = rows[i].size == sizeof(narrow) ? (const void *)&narrow : (const void *)&value;

            fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
            client.loop = i % 2 ? &loop : NULL;
            client.options.lifetime_ms = LIFETIME_MS;
            client.options.paused = rows[i].offset == offsetof(struct sse_emitter_options, start_ms);
            memcpy((char *)&client.options + rows[i].offset, from, rows[i].size);
            error = try_options();
            if (error != (k < rows[i].bad ? rows[i].error : 0))
                fail_msg("row %zu, value %d: %d", i, k, error);
        }
    }
}

/* Limits of any size are accepted, and the real limit is never lower. Row C2. */
static void large_limits_are_accepted(void **state)
{
    static const uint64_t limits[] = {(UINT64_C(1) << 30) + 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                                      (uint64_t)UINT32_MAX + 2, UINT64_MAX};
    const struct sse_event event = {.data = sse_str("tick")};

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(limits); i++) {
        size_t limit = (size_t)(limits[i / 2] < SIZE_MAX ? limits[i / 2] : SIZE_MAX);

        fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
        client.options.queue_messages = i % 2 ? limit : 0;
        client.options.queue_bytes = i % 2 ? 0 : limit;
        client.output.room = 0;
        fake_client_open(&client);
        for (int k = 0; k < 5; k++)
            assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
        assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
        fake_client_free(&client);
    }
}

/* Each change alone is refused. The options without a change are accepted. */
static void options_that_do_not_go_together_are_refused(void **state)
{
    static const struct sse_text topic = {"t", 1}, absent = {NULL, 1};
    const struct sse_http_options bad_http = {
        .size = sizeof(bad_http), .version = SSE_HTTP_1_0, .chunked = true};

    (void)state;
    for (int which = 0; which <= 9; which++) {
        fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
        client.loop = &loop;
        client.options.registry = registry;
        client.options.topics = &topic;
        client.options.topic_count = 1;
        if (which == 1)
            client.loop = NULL; /* a registry, and nobody who does the work */
        if (which == 2)
            client.options.registry = NULL; /* topics without a registry */
        if (which == 3)
            client.options.topics = NULL;
        if (which == 4)
            client.options.topics = &absent;
        if (which == 5)
            client.options.last_event_id = absent;
        if (which == 6)
            client.options.http = &bad_http;
        if (which == 7)
            client.options.lifetime_jitter_ms = 1; /* jitter without a lifetime */
        if (which == 8)
            client.options.watch_fd = 1; /* a driven loop watches no descriptor */
        if (which == 9)
            client.options.watch_fd = -1;
        if (try_options() != (which ? -EINVAL : 0))
            fail_msg("row %d", which);
    }
}

static ssize_t write_nothing(void *user, const struct iovec *iov, int count)
{
    (void)user, (void)iov, (void)count;
    return -EAGAIN;
}

/* Each member for the destination of bytes belongs to one output. Each row differs in one member from the accepted
 * row before it. `open` stands for an open socket. */
static void members_belong_to_one_output(void **state)
{
    enum { NONE, OPEN = 1, BAD = -1 };
    static const struct {
        enum sse_output output;
        int fd, watch_fd;
        bool write, polled, accepted;
    } rows[] = {
        {SSE_OUTPUT_FD, OPEN, NONE, false, true, true},
        {SSE_OUTPUT_FD, BAD, NONE, false, true, false},
        {SSE_OUTPUT_FD, OPEN, OPEN, false, true, false},
        {SSE_OUTPUT_FD, OPEN, NONE, true, true, false},
        {SSE_OUTPUT_CALLBACK, NONE, OPEN, true, true, true},
        {SSE_OUTPUT_CALLBACK, NONE, OPEN, false, true, false},
        {SSE_OUTPUT_CALLBACK, NONE, BAD, true, true, false},
        {SSE_OUTPUT_CALLBACK, NONE, OPEN, true, false, false},
        {SSE_OUTPUT_PULL, NONE, OPEN, false, true, true},
        {SSE_OUTPUT_PULL, NONE, OPEN, true, true, false},
        {SSE_OUTPUT_PULL, NONE, BAD, false, true, false},
        {SSE_OUTPUT_PULL, NONE, OPEN, false, false, false},
    };
    const struct sse_loop_options loop_options = {.size = sizeof(loop_options), .platform = &fake.platform};
    struct sse_loop *polled;
    struct descriptor_pair pair;

    (void)state;
    assert_int_equal(sse_loop_new(&polled, &loop_options), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_emitter_options options = {.size = sizeof(options), .platform = &fake.platform};
        struct sse_emitter *emitter = NULL;
        int error;

        pair_open(&pair, PAIR_STREAM);
        options.output = rows[i].output;
        options.fd = rows[i].fd == OPEN ? pair.server : rows[i].fd;
        options.keep_fd = true;
        options.watch_fd = rows[i].watch_fd == OPEN ? pair.server : rows[i].watch_fd;
        options.write = rows[i].write ? write_nothing : NULL;
        options.loop = rows[i].polled ? polled : NULL;
        error = sse_emitter_new(&emitter, &options, NULL);
        if (error != (rows[i].accepted ? 0 : -EINVAL))
            fail_msg("row %zu: %d", i, error);
        assert_int_equal(!emitter, error != 0);
        sse_emitter_close(emitter);
        assert_int_equal(sse_loop_dispatch(polled, 0), 0);
        pair_close(&pair);
    }
    sse_loop_free(polled);
}

static void without_a_loop_nobody_calls_on_ready(void **state)
{
    (void)state;
    for (int output = SSE_OUTPUT_CALLBACK; output <= SSE_OUTPUT_PULL; output++) {
        struct sse_emitter *emitter = NULL;

        fake_client_init(&client, &fake, (enum sse_output)output);
        client.loop = &loop;
        assert_int_equal(try_options(), 0);
        assert_non_null(client.options.on_ready);
        client.options.loop = NULL;
        assert_int_equal(sse_emitter_new(&emitter, &client.options, NULL), -EINVAL);
        assert_null(emitter);
    }
}

static void the_pointer_may_be_left_out_if_the_loop_keeps_the_emitter(void **state)
{
    struct descriptor_pair pair;

    (void)state;
    pair_open(&pair, PAIR_STREAM);
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.loop = loop.loop;
    assert_int_equal(sse_emitter_new(NULL, &client.options, NULL), -EINVAL);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.options.fd = pair.server;
    assert_int_equal(sse_emitter_new(NULL, &client.options, NULL), -EINVAL);
    client.options.loop = loop.loop;
    client.options.keep_fd = true;
    assert_int_equal(sse_emitter_new(NULL, &client.options, NULL), -EINVAL);
    client.options.keep_fd = false;
    client.options.paused = true;
    assert_int_equal(sse_emitter_new(NULL, &client.options, NULL), -EINVAL);
    client.options.paused = false;
    assert_int_equal(sse_loop_count(loop.loop), 0);
    assert_true(pair_is_quiet(&pair));
    client.loop = &loop;
    assert_int_equal(sse_emitter_new(NULL, &client.options, NULL), 0);
    assert_int_equal(sse_loop_count(loop.loop), 1);
    pair_expect(&pair, ":\n");
    pair_leave(&pair);
    fake_platform_advance_ms(&fake, 1);
    /* A driven loop watches no descriptor, so the next write notices the disconnect. */
    fake_loop_close(&loop);
    assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
    assert_int_equal(client.releases, 1);
    assert_false(descriptor_is_open(pair.server));
}

static void bad_pointers_are_refused(void **state)
{
    struct sse_platform platforms[3];
    struct sse_emitter *emitter = NULL;

    (void)state;
    assert_int_equal(sse_emitter_new(&emitter, NULL, NULL), -EINVAL);
    for (size_t i = 0; i < COUNT(platforms); i++) {
        platforms[i] = fake.platform;
        client.options.platform = &platforms[i];
        platforms[i].size = i ? platforms[i].size : 0;
        platforms[i].allocate = i == 1 ? NULL : platforms[i].allocate;
        platforms[i].deallocate = i == 2 ? NULL : platforms[i].deallocate;
        assert_int_equal(try_options(), -EINVAL);
    }
    assert_null(emitter);
}

/* A newer program: members that this library does not know must be zero. There is no older program with fewer
 * members. */
static void options_of_other_versions(void **state)
{
    static union {
        struct sse_emitter_options options;
        unsigned char bytes[8192];
    } larger;
    const size_t own = sizeof(struct sse_emitter_options);
    struct sse_emitter *emitter;

    (void)state;
    for (size_t size = own; size <= own + 64; size++) {
        memset(&larger, 0, sizeof(larger));
        larger.options = client.options;
        larger.options.size = size;
        assert_int_equal(sse_emitter_new(&emitter, &larger.options, NULL), 0);
        sse_emitter_close(emitter);
        for (size_t at = own; at < size; at++) {
            larger.bytes[at] = 1;
            assert_int_equal(sse_emitter_new(&emitter, &larger.options, NULL), -EINVAL);
            larger.bytes[at] = 0;
        }
    }
    /* The last bytes may be padding, which the library does not ask for. */
    for (size_t size = 0; size <= own - sizeof(uint64_t); size++) {
        larger.options.size = size;
        assert_int_equal(sse_emitter_new(&emitter, &larger.options, NULL), -EINVAL);
    }
    larger.options.size = SIZE_MAX;
    assert_int_equal(sse_emitter_new(&emitter, &larger.options, NULL), -EINVAL);
}

/* The options are copied, so the caller may free them. */
static void options_are_copied(void **state)
{
    struct sse_emitter_options *options = malloc(sizeof(*options));
    char *topic = malloc(1);

    (void)state;
    assert_true(options && topic);
    topic[0] = 't';
    client.loop = &loop;
    *options = client.options;
    options->loop = loop.loop;
    options->registry = registry;
    options->topics = &(struct sse_text){topic, 1};
    options->topic_count = 1;
    assert_int_equal(sse_emitter_new(&client.emitter, options, NULL), 0);
    memset(topic, 'x', 1);
    memset(options, 0xff, sizeof(*options));
    free(topic);
    free(options);
    assert_int_equal(sse_registry_count(registry, sse_str("t")), 1);
    assert_int_equal(
        sse_registry_publish(registry, sse_str("t"), &(struct sse_event){.data = sse_str("x")}, NULL), 0);
    (void)fake_loop_settle(&loop);
    assert_non_null(strstr(fake_client_text(&client), "data: x\n"));
}

/* The results for a new client, for one that has seen all events, and for one with an unknown id. */
static void the_result_says_how_the_stream_begins(void **state)
{
    static const char *const ids[] = {NULL, "", "E-0000000000000002", "E-0000000000000001", "what\n", "E-1"};
    static const enum sse_replay_outcome outcomes[] = {SSE_REPLAY_NONE,     SSE_REPLAY_NONE,
                                                       SSE_REPLAY_COMPLETE, SSE_REPLAY_COMPLETE,
                                                       SSE_REPLAY_GAP,      SSE_REPLAY_GAP};
    static const size_t messages[] = {0, 0, 0, 1, 0, 0};
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &fake.platform,
                                                 .history = {.events = 100},
                                                 .id_prefix = sse_str("E")};
    const struct sse_text topic = sse_str("t");
    struct sse_registry *own;

    (void)state;
    assert_int_equal(sse_registry_new(&own, &options), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sse_registry_publish(own, topic, &(struct sse_event){.data = sse_str("x")}, NULL),
                         0);
    for (size_t i = 0; i < COUNT(ids); i++) {
        fake_client_init(&client, &fake, SSE_OUTPUT_PULL);
        client.options.registry = own;
        client.options.topics = &topic;
        client.options.topic_count = 1;
        client.options.last_event_id = sse_str(ids[i]);
        client.replay.outcome = (enum sse_replay_outcome)7;
        fake_client_open(&client);
        assert_int_equal(client.replay.outcome, outcomes[i]);
        assert_int_equal(client.replay.messages, messages[i]);
        fake_client_free(&client);
    }
    sse_registry_unref(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_have_their_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_limits_are_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_that_do_not_go_together_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_belong_to_one_output, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_loop_nobody_calls_on_ready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_pointer_may_be_left_out_if_the_loop_keeps_the_emitter, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bad_pointers_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_of_other_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_are_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_result_says_how_the_stream_begins, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

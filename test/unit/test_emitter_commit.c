/* SPDX-License-Identifier: MIT */
/* sse_emitter_new does everything or nothing, and writes the beginning of the stream at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REPLAYED 5
#define ANSWER "HTTP/1.1 503 Later\r\n\r\n"

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client client, earlier; /* the earlier emitter fills the cap of topic "full" */
static struct descriptor_pair pair;
static const struct sse_text topics[] = {{"a", 1}, {"b", 1}, {"c", 1}};
static const struct sse_text full_topic = {"full", 4}, empty_topic = {"", 0};
static const struct sse_event event = {.data = {"x", 1}};
static const struct sse_http_options http = {.size = sizeof(http)};
static const struct sse_http_options http_chunked = {.size = sizeof(http_chunked), .chunked = true};

static void open_registry(enum sse_admission admission)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &fake.platform,
                                                 .history = {.events = 100},
                                                 .id_prefix = sse_str("E"),
                                                 .topic_emitters_max = 1,
                                                 .admission = admission};

    assert_int_equal(sse_registry_new(&registry, &options), 0);
    for (int i = 0; i < REPLAYED; i++)
        assert_int_equal(sse_registry_publish(registry, topics[i % 3], &event, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    registry = NULL;
    memset(&earlier, 0, sizeof(earlier));
    pair_open(&pair, PAIR_STREAM);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.loop = &loop;
    client.options.fd = pair.server;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (client.emitter)
        fake_client_free(&client);
    if (earlier.emitter)
        fake_client_free(&earlier);
    fake_loop_close(&loop);
    sse_registry_unref(registry);
    pair_close(&pair);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

/* Sets every option of the registry's part, with a replay. */
static void join(void)
{
    client.options.registry = registry;
    client.options.topics = topics;
    client.options.topic_count = COUNT(topics);
    client.options.last_event_id = sse_str("E-0000000000000000");
    client.options.http = &http;
    client.options.retry_ms = 1500;
}

static void fill_topic(void)
{
    fake_client_init(&earlier, &fake, SSE_OUTPUT_PULL);
    earlier.loop = &loop;
    earlier.options.registry = registry;
    earlier.options.topics = &full_topic;
    earlier.options.topic_count = 1;
    fake_client_open(&earlier);
}

static void check_server_can_answer(void)
{
    assert_true(pair_is_quiet(&pair));
    assert_int_equal(write(pair.server, ANSWER, strlen(ANSWER)), strlen(ANSWER));
    pair_expect(&pair, ANSWER);
}

/* Returns the result of new. On an error nothing was written, nobody was evicted, and the server can still
 * answer. */
static int try_open(void)
{
    struct sse_emitter *const untouched = (struct sse_emitter *)(uintptr_t)64;
    size_t members = registry ? sse_registry_count(registry, sse_str(NULL)) : 0;
    size_t bound = sse_loop_count(loop.loop);
    unsigned wakes = atomic_load(&loop.wakes);
    int error;

    client.emitter = untouched;
    error = fake_client_try_open(&client);
    fake_platform_fail_at(&fake, 0, false);
    if (!error)
        return 0;
    assert_ptr_equal(client.emitter, untouched);
    client.emitter = NULL;
    assert_int_equal(atomic_load(&loop.wakes), wakes);
    assert_int_equal(sse_loop_count(loop.loop), bound);
    if (registry)
        assert_int_equal(sse_registry_count(registry, sse_str(NULL)), members);
    for (size_t i = 0; registry && i < COUNT(topics); i++)
        assert_int_equal(sse_registry_count(registry, topics[i]), 0);
    check_server_can_answer();
    (void)fake_loop_settle(&loop);
    assert_int_equal(client.completions + client.releases + client.errors, 0);
    assert_int_equal(earlier.completions, 0);
    check_server_can_answer();
    return error;
}

static void bad_arguments_write_nothing(void **state)
{
    const struct sse_http_header header = {sse_str("bad name"), sse_str("x")};
    const struct sse_http_options bad_http = {
        .size = sizeof(bad_http), .headers = &header, .header_count = 1};

    (void)state;
    open_registry(SSE_ADMISSION_EVICT_OLDEST);
    fill_topic();
    join();
    client.options.http = &bad_http;
    assert_int_equal(try_open(), -EINVAL);
    join();
    client.options.overflow = (enum sse_overflow)9;
    assert_int_equal(try_open(), -EINVAL);
    client.options.overflow = SSE_OVERFLOW_END;
    client.options.retry_ms = -1;
    assert_int_equal(try_open(), -ERANGE);
}

/* Nobody is evicted for a connection that then fails. */
static void bad_topics_evict_nobody(void **state)
{
    static char long_topic[SSE_TOPIC_SIZE_MAX + 1];
    const struct sse_text lists[][2] = {{full_topic, empty_topic},
                                        {full_topic, {long_topic, sizeof(long_topic)}}};

    (void)state;
    memset(long_topic, 't', sizeof(long_topic));
    open_registry(SSE_ADMISSION_EVICT_OLDEST);
    fill_topic();
    join();
    client.options.topic_count = 2;
    for (size_t i = 0; i < COUNT(lists); i++) {
        client.options.topics = lists[i];
        assert_int_equal(try_open(), -EBADMSG);
    }
}

static void a_head_that_is_too_large_writes_nothing(void **state)
{
    char *value = malloc(SSE_EVENT_SIZE_MAX);
    const struct sse_http_header header = {sse_str("x-large"), {value, SSE_EVENT_SIZE_MAX}};
    const struct sse_http_options large = {.size = sizeof(large), .headers = &header, .header_count = 1};

    (void)state;
    assert_non_null(value);
    memset(value, 'v', SSE_EVENT_SIZE_MAX);
    client.options.http = &large;
    assert_int_equal(try_open(), -EMSGSIZE);
    free(value);
}

static void a_descriptor_that_is_not_open_evicts_nobody(void **state)
{
    int closed = dup(pair.server);

    (void)state;
    close(closed);
    open_registry(SSE_ADMISSION_EVICT_OLDEST);
    fill_topic();
    join();
    client.options.topics = &full_topic;
    client.options.topic_count = 1;
    client.options.fd = closed;
    assert_int_equal(try_open(), -EBADF);
}

static void a_full_topic_refuses(void **state)
{
    (void)state;
    open_registry(SSE_ADMISSION_REFUSE);
    fill_topic();
    join();
    client.options.topics = &full_topic;
    client.options.topic_count = 1;
    assert_int_equal(try_open(), -EAGAIN);
}

static void a_registry_that_shuts_down_refuses(void **state)
{
    (void)state;
    open_registry(SSE_ADMISSION_REFUSE);
    assert_int_equal(
        sse_registry_shutdown(registry,
                              &(struct sse_shutdown_options){.size = sizeof(struct sse_shutdown_options)}),
        0);
    join();
    assert_int_equal(try_open(), -ECONNREFUSED);
}

static void a_loop_that_finishes_refuses(void **state)
{
    (void)state;
    open_registry(SSE_ADMISSION_EVICT_OLDEST);
    fill_topic();
    assert_int_equal(sse_loop_finish(loop.loop), 0);
    (void)fake_loop_settle(&loop);
    join();
    client.options.topics = &full_topic;
    client.options.topic_count = 1;
    assert_int_equal(try_open(), -ECONNREFUSED);
}

/* A polled loop would close the descriptor twice. */
static void a_descriptor_that_is_written_to_already_is_refused(void **state)
{
    struct sse_emitter *first, *twin = NULL;
    struct sse_loop *polled;

    (void)state;
    assert_int_equal(sse_loop_new(&polled, NULL), 0);
    open_registry(SSE_ADMISSION_EVICT_OLDEST);
    fill_topic();
    client.options.on_completion = NULL;
    client.options.on_release = NULL;
    client.options.loop = polled;
    assert_int_equal(sse_emitter_new(&first, &client.options, NULL), 0);
    pair_expect(&pair, ":\n");
    join();
    client.options.topics = &full_topic;
    client.options.topic_count = 1;
    assert_int_equal(sse_emitter_new(&twin, &client.options, NULL), -EEXIST);
    assert_null(twin);
    assert_int_equal(sse_loop_count(polled), 1);
    (void)fake_loop_settle(&loop);
    assert_int_equal(earlier.completions, 0);
    assert_int_equal(sse_loop_dispatch(polled, 0), 0);
    assert_true(pair_is_quiet(&pair));
    assert_int_equal(sse_emitter_send(first, &event), 0);
    pair_expect(&pair, "data: x\n\n");
    sse_emitter_close(first);
    sse_loop_free(polled);
    assert_false(descriptor_is_open(pair.server));
}

#define RETRY "retry: 1500\n"
#define REPLAY                                                                                               \
    "data: x\nid: E-0000000000000001\n\ndata: x\nid: E-0000000000000002\n\n"                                 \
    "data: x\nid: E-0000000000000003\n\ndata: x\nid: E-0000000000000004\n\n"                                 \
    "data: x\nid: E-0000000000000005\n\n"

/* The boundaries of packets show the writes. */
static void the_beginning_is_one_write(void **state)
{
    static const struct {
        const struct sse_http_options *http;
        int64_t retry_ms;
        enum sse_framing framing;
        bool replayed;
        const char *rest;
    } rows[] = {
        {NULL, 0, SSE_FRAMING_RAW, false, ":\n"},
        {NULL, 1500, SSE_FRAMING_RAW, false, RETRY},
        {NULL, 0, SSE_FRAMING_CHUNKED, false, "2\r\n:\n\r\n"},
        {NULL, 1500, SSE_FRAMING_RAW, true, RETRY REPLAY},
        {&http, 0, SSE_FRAMING_RAW, false, ":\n"},
        {&http, 0, SSE_FRAMING_CHUNKED, true, ":\n" REPLAY}, /* http decides about this */
        {&http, 1500, SSE_FRAMING_RAW, true, RETRY REPLAY},
        {&http_chunked, 0, SSE_FRAMING_RAW, false, "2\r\n:\n\r\n"},
        {&http_chunked, 1500, SSE_FRAMING_RAW, false, "c\r\n" RETRY "\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char head[512], expected[1024], received[1024];
        ssize_t head_size = rows[i].http ? sse_http_head(head, sizeof(head), rows[i].http) : 0;
        int size = snprintf(expected, sizeof(expected), "%.*s%s", (int)head_size, head, rows[i].rest);

        pair_close(&pair);
        pair_open(&pair, PAIR_PACKETS);
        open_registry(SSE_ADMISSION_EVICT_OLDEST);
        fake_client_init(&client, &fake, SSE_OUTPUT_FD);
        client.loop = rows[i].replayed ? &loop : NULL;
        if (rows[i].replayed)
            join();
        client.options.fd = pair.server;
        client.options.http = rows[i].http;
        client.options.retry_ms = rows[i].retry_ms;
        client.options.framing = rows[i].framing;
        fake_client_open(&client);
        assert_int_equal(pair_receive(&pair, received, sizeof(received)), size);
        assert_memory_equal(received, expected, (size_t)size);
        assert_true(pair_is_quiet(&pair));
        assert_int_equal(fake_client_info(&client).bytes, size);
        assert_int_equal(fake_client_info(&client).queued_bytes, 0);
        fake_client_free(&client);
        sse_registry_unref(registry);
        registry = NULL;
    }
}

/* new does not call the write callback. The next turn, or the owner's next call, calls it once. */
static void a_write_callback_gets_the_beginning_in_one_call(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        open_registry(SSE_ADMISSION_EVICT_OLDEST);
        fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
        if (looped)
            join();
        client.loop = looped ? &loop : NULL;
        client.options.http = &http;
        client.options.retry_ms = 1500;
        fake_client_open(&client);
        assert_int_equal(client.output.calls, 0);
        if (looped)
            (void)fake_loop_turn(&loop);
        else
            assert_int_equal(sse_emitter_flush(client.emitter), 0);
        assert_int_equal(client.output.calls, 1);
        assert_non_null(
            strstr(fake_client_text(&client), looped ? "\r\n\r\n" RETRY REPLAY : "\r\n\r\n" RETRY));
        fake_client_free(&client);
        sse_registry_unref(registry);
        registry = NULL;
    }
}

/* new succeeds: the emitter ends like any other, in its owner's turn. Row C1. */
static void a_disconnected_client_ends_like_any_other(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        pair_close(&pair);
        pair_open(&pair, PAIR_STREAM);
        pair_leave(&pair);
        fake_client_init(&client, &fake, SSE_OUTPUT_FD);
        client.loop = looped ? &loop : NULL;
        client.options.fd = pair.server;
        fake_client_open(&client);
        assert_int_equal(client.completions + client.errors, 0);
        if (looped)
            (void)fake_loop_settle(&loop);
        else
            assert_int_equal(sse_emitter_flush(client.emitter), -EPIPE);
        assert_int_equal(client.completions, 1);
        assert_int_equal(client.errors, 1);
        assert_int_equal(client.error, -EPIPE);
        assert_int_equal(client.completion.reason, SSE_REASON_DISCONNECTED);
        assert_false(descriptor_is_open(pair.server));
        fake_client_free(&client);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_arguments_write_nothing),
        TEST(bad_topics_evict_nobody),
        TEST(a_head_that_is_too_large_writes_nothing),
        TEST(a_descriptor_that_is_not_open_evicts_nobody),
        TEST(a_full_topic_refuses),
        TEST(a_registry_that_shuts_down_refuses),
        TEST(a_loop_that_finishes_refuses),
        TEST(a_descriptor_that_is_written_to_already_is_refused),
        TEST(the_beginning_is_one_write),
        TEST(a_write_callback_gets_the_beginning_in_one_call),
        TEST(a_disconnected_client_ends_like_any_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

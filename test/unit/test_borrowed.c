/* SPDX-License-Identifier: MIT */
/* When a call returns, the caller may overwrite and free the memory that it passed. Fault 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>

#define LENT_MAX 32

static struct sse_text lent[LENT_MAX];
static size_t lent_count;

/* A text in its own block. */
static struct sse_text lend(const char *string)
{
    size_t size = strlen(string);
    char *bytes = malloc(size + 1);

    assert_non_null(bytes);
    assert_in_range(lent_count, 0, LENT_MAX - 1);
    lent[lent_count] = (struct sse_text){memcpy(bytes, string, size), size};
    return lent[lent_count++];
}

static void take_back(void)
{
    while (lent_count) {
        lent_count--;
        memset((void *)(uintptr_t)lent[lent_count].ptr, '\n', lent[lent_count].len);
        free((void *)(uintptr_t)lent[lent_count].ptr);
    }
}

static struct sse_event lend_event(const char *data, const char *id)
{
    return (struct sse_event){.data = lend(data),
                              .type = lend("type"),
                              .comment = lend("note"),
                              .id = id ? lend(id) : absent,
                              .key = lend("key")};
}

#define WIRE(data, id) ": note\nevent: type\ndata: " data "\nid: " id "\n\n"

/* `alone`: in no registry and without a loop, so the sender itself writes. */
static struct fake_client *enter_full(enum sse_overflow overflow, bool alone)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

    client->options.overflow = overflow;
    client->options.registry = alone ? NULL : registry;
    client->loop = alone ? NULL : &loop;
    fake_client_open(client);
    (void)sse_emitter_flush(client->emitter);
    (void)fake_loop_settle(&loop);
    fake_client_forget(client);
    client->output.room = 0;
    return client;
}

static void send_lent(struct fake_client *client, const char *data, const char *id)
{
    struct sse_event event = lend_event(data, id);

    assert_int_equal(sse_emitter_send(client->emitter, &event), 0);
    take_back();
}

/* Small events, and one that is too large for the stack. Each replaces the one before, by its key. */
static void queued_events(void **state)
{
    char large[4000];

    (void)state;
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    for (int i = 0; i < 4; i++) {
        bool coalesce = i % 2;
        struct fake_client *client = enter_full(coalesce ? SSE_OVERFLOW_COALESCE : SSE_OVERFLOW_END, i / 2);

        send_lent(client, "one", "1");
        send_lent(client, large, "2");
        send_lent(client, "three", "3");
        assert_int_equal(fake_client_info(client).dropped, coalesce ? 2 : 0);
        fake_client_make_room(client, SIZE_MAX);
        if (coalesce) {
            assert_string_equal(fake_client_text(client), WIRE("three", "3"));
        } else {
            assert_non_null(strstr(fake_client_text(client), WIRE("one", "1")));
            assert_non_null(strstr(fake_client_text(client), large));
            assert_non_null(strstr(fake_client_text(client), WIRE("three", "3")));
        }
        fake_client_free(client);
        assert_string_equal(client->last_id, "3");
    }
}

static void publish_lent(const char *topic, const char *data, const char *id)
{
    struct sse_event event = lend_event(data, id);

    assert_int_equal(sse_registry_publish(registry, lend(topic), &event, NULL), 0);
    take_back();
}

/* A registry copies its options, topics, events and ids. */
static void texts_of_a_registry(void **state)
{
    struct sse_text topics[2];
    struct fake_client *client;

    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .id_prefix = lend("E"), .gap_type = lend("gap")});
    take_back();
    publish_lent("a", "one", "given");
    publish_lent("a", "two", NULL);
    client = enter(0, "");
    topics[0] = lend("a");
    topics[1] = lend("b");
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, 2, lend("given"), NULL), 0);
    take_back();
    publish_lent("b", "three", NULL);
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_text(client), WIRE("two", ID("2")) WIRE("three", ID("3")));
    topics[0] = lend("b");
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, topics, 1), 0);
    take_back();
    publish_lent("b", "four", NULL);
    assert_int_equal(join(prepare(1, SSE_OUTPUT_CALLBACK), "a", lend("unknown")), 0);
    take_back();
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_events(&clients[1]),
                        "event: gap\ndata: unknown\ndata: \nid: " ID("4") "\n\n");
}

/* The final event. */
static void the_final_event(void **state)
{
    struct fake_client *client = enter_full(SSE_OVERFLOW_END, false);
    struct sse_event event = lend_event("bye", "9");
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &event, .drain_ms = 1000};

    (void)state;
    assert_int_equal(sse_registry_shutdown(registry, &options), 0);
    take_back();
    fake_client_make_room(client, SIZE_MAX);
    assert_string_equal(fake_client_text(client), WIRE("bye", "9"));
}

/* A new emitter copies its topics and its head. */
static void the_options_of_an_emitter(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    struct sse_http_header header = {.name = lend("X-Name"), .value = lend("value")};
    struct sse_http_options http = {.size = sizeof(http),
                                    .cors_origin = lend("https://a.example"),
                                    .headers = &header,
                                    .header_count = 1};
    struct sse_text topic = lend("t");

    (void)state;
    client->options.http = &http;
    client->options.topics = &topic;
    client->options.topic_count = 1;
    client->options.last_event_id = lend("unknown");
    assert_int_equal(fake_client_try_open(client), 0);
    memset(&http, 0xa5, sizeof(http));
    memset(&header, 0xa5, sizeof(header));
    memset(&topic, 0xa5, sizeof(topic));
    take_back();
    (void)publish('t', "x");
    assert_non_null(strstr(fake_client_text(client), "X-Name: value\r\n"));
    assert_non_null(strstr(fake_client_text(client), "Access-Control-Allow-Origin: https://a.example\r\n"));
    assert_non_null(strstr(fake_client_text(client), EVENT("x", "1")));
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(queued_events),
        STAGE_TEST(texts_of_a_registry),
        STAGE_TEST(the_final_event),
        STAGE_TEST(the_options_of_an_emitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

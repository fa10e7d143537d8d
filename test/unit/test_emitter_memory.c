/* SPDX-License-Identifier: MIT */
/* If there is no memory for the rest of an event, the send fails and leaves nothing behind that delays others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"
#include "descriptor_pair.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const struct sse_event tick = {.data = {"tick", 4}};
static const struct sse_event tock = {.data = {"tock", 4}};

static struct descriptor_pair pair;

static int send_without_memory(const struct sse_event *event)
{
    int error;

    fake_platform_fail_at(&fake, 1, true);
    error = sse_emitter_send(client.emitter, event);
    fake_platform_fail_at(&fake, 0, false);
    return error;
}

static void fill(void)
{
    static const char bytes[4096];

    for (size_t size = sizeof(bytes); size > 0; size /= 2)
        while (send(pair.server, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            ;
}

/* The output was full then, but nobody has to report room, because nothing is queued. */
static void the_next_event_is_written_at_once(void **state)
{
    (void)state;
    pair_open(&pair, PAIR_STREAM);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.loop = &loop;
    client.options.fd = pair.server;
    fake_client_open(&client);
    (void)fake_loop_settle(&loop);
    fill();
    assert_int_equal(send_without_memory(&tick), -ENOMEM);
    assert_int_equal(fake_client_info(&client).queued_messages, 0);
    (void)fake_loop_settle(&loop);
    (void)pair_discard(&pair);
    assert_int_equal(sse_emitter_send(client.emitter, &tock), 0);
    assert_int_equal(fake_client_info(&client).queued_messages, 0);
    pair_expect(&pair, "data: tock\n\n");
    fake_client_free(&client);
    assert_int_equal(client.completion.events, 1);
    assert_int_equal(client.completion.dropped, 0);
    pair_close(&pair);
}

/* Another event was accepted in the meantime. It waits for the room that this one did not find, for stall_ms. */
static void queue_another(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    assert_int_equal(sse_emitter_send(client.emitter, &tock), 0);
    fake_platform_fail_at(&fake, 1, true);
}

static void events_queued_meanwhile_wait_for_room(void **state)
{
    size_t calls;

    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.stall_ms = 100;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    fake_client_forget(&client);
    fake_platform_advance_ms(&fake, 60);
    client.output.room = 0;
    client.output.on_write = queue_another;
    assert_int_equal(sse_emitter_send(client.emitter, &tick), -ENOMEM);
    fake_platform_fail_at(&fake, 0, false);
    assert_int_equal(fake_client_info(&client).queued_messages, 1);
    fake_platform_advance_ms(&fake, 99);
    calls = client.output.calls;
    assert_int_equal(sse_emitter_send(client.emitter, &tock), 0);
    assert_int_equal(client.output.calls, calls + 1);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "data: tock\n\ndata: tock\n\n");
    fake_client_free(&client);
}

/* The pause ends while the event is written, and the next one is queued behind the pause. */
static void end_the_pause(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    assert_int_equal(sse_emitter_send(client.emitter, &tock), 0);
    fake_platform_fail_at(&fake, 1, true);
}

static void events_behind_a_pause_follow(void **state)
{
    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.paused = true;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    fake_client_forget(&client);
    client.output.room = 0;
    client.output.on_write = end_the_pause;
    assert_int_equal(sse_emitter_send(client.emitter, &tick), -ENOMEM);
    fake_platform_fail_at(&fake, 0, false);
    assert_int_equal(fake_client_info(&client).queued_messages, 1);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "data: tock\n\n");
    fake_client_free(&client);
    assert_int_equal(client.completion.events, 1);
    assert_int_equal(client.completion.dropped, 0);
}

/* "Nothing changed" concerns the time of the next heartbeat too: no byte was written. */
static void no_heartbeat_is_postponed(void **state)
{
    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.heartbeat_ms = 100;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    fake_client_forget(&client);
    fake_platform_advance_ms(&fake, 60);
    client.output.room = 0;
    assert_int_equal(send_without_memory(&tick), -ENOMEM);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "");
    fake_platform_advance_ms(&fake, 40);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    assert_string_equal(fake_client_text(&client), ":\n");
    fake_client_free(&client);
}

/* As many messages as the queue has places without more memory. */
#define PLACES 16

/* A client with a full queue, the first event of which is partly written. */
static void open_with_full_queue(enum sse_overflow overflow)
{
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.overflow = overflow;
    client.options.queue_messages = PLACES;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    fake_client_forget(&client);
    client.output.room = 1;
    for (char key = 'a'; key < 'a' + PLACES; key++)
        assert_int_equal(sse_emitter_send(client.emitter, &(struct sse_event){.data = {&key, 1}, .key = {&key, 1}}),
                         0);
}

/* There is memory for the event, and none for more places. */
static void send_with_memory_for_one(const struct sse_event *event)
{
    fake_platform_fail_at(&fake, 2, true);
    assert_int_equal(sse_emitter_send(client.emitter, event), 0);
    fake_platform_fail_at(&fake, 0, false);
    assert_int_equal(fake_client_info(&client).queued_messages, PLACES);
    assert_int_equal(fake_client_info(&client).dropped, 1);
    fake_client_make_room(&client, SIZE_MAX);
}

static void an_event_replaces_another_without_more_places(void **state)
{
    (void)state;
    open_with_full_queue(SSE_OVERFLOW_COALESCE);
    send_with_memory_for_one(&(struct sse_event){.data = sse_str("new"), .key = sse_str("c")});
    assert_string_equal(fake_client_text(&client),
                        "data: a\n\ndata: b\n\ndata: d\n\ndata: e\n\ndata: f\n\ndata: g\n\ndata: h\n\n"
                        "data: i\n\ndata: j\n\ndata: k\n\ndata: l\n\ndata: m\n\ndata: n\n\ndata: o\n\n"
                        "data: p\n\ndata: new\n\n");
    fake_client_free(&client);
}

static void an_event_displaces_the_oldest_without_more_places(void **state)
{
    (void)state;
    open_with_full_queue(SSE_OVERFLOW_DROP_OLDEST);
    send_with_memory_for_one(&(struct sse_event){.data = sse_str("new")});
    assert_string_equal(fake_client_text(&client),
                        "data: a\n\ndata: c\n\ndata: d\n\ndata: e\n\ndata: f\n\ndata: g\n\ndata: h\n\n"
                        "data: i\n\ndata: j\n\ndata: k\n\ndata: l\n\ndata: m\n\ndata: n\n\ndata: o\n\n"
                        "data: p\n\ndata: new\n\n");
    fake_client_free(&client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_next_event_is_written_at_once),
        TEST(events_queued_meanwhile_wait_for_room),
        TEST(events_behind_a_pause_follow),
        TEST(no_heartbeat_is_postponed),
        TEST(an_event_replaces_another_without_more_places),
        TEST(an_event_displaces_the_oldest_without_more_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

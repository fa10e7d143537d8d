/* SPDX-License-Identifier: MIT */
/* Which events an emitter accepts, and what it writes, in both framings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct sse_event tick = {.data = {"tick", 4}};

static void prepare(enum sse_output output, unsigned framing, bool looped)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.framing = (enum sse_framing)framing;
}

static void let_owner_work(void)
{
    if (client.loop)
        (void)fake_loop_settle(&loop);
    else
        (void)sse_emitter_flush(client.emitter);
}

/* Opens the emitter, and writes the first byte of the body. */
static void open_client(void)
{
    fake_client_open(&client);
    let_owner_work();
    if (client.options.output == SSE_OUTPUT_PULL)
        (void)fake_client_pull(&client);
    fake_client_forget(&client);
}

/* For streams with one event in each message, after the first byte. */
static void check_accounts(uint64_t accepted)
{
    struct sse_emitter_info info = fake_client_info(&client);

    assert_int_equal(info.events + info.dropped + info.queued_messages, accepted);
    assert_int_equal(!info.queued_bytes, !info.queued_messages);
}

static int end_it(size_t way)
{
    if (way == 0)
        return sse_emitter_complete(client.emitter);
    if (way == 1)
        return sse_emitter_abort(client.emitter, -EIO);
    sse_emitter_ref(client.emitter);
    sse_emitter_close(client.emitter);
    return 0;
}

/* There is no empty chunk before it either, however little an event contains. */
static void only_completion_writes_the_last_chunk(void **state)
{
    static const struct sse_event events[] = {
        {.data = {"", 0}}, {.id = {"", 0}}, {.comment = {"", 0}}, {.retry_ms = 1}, {.data = {"\n", 1}}};
    static const char *const chunks[] = {"8\r\ndata: \n\n\r\n", "6\r\nid: \n\n\r\n", "2\r\n:\n\r\n",
                                         "9\r\nretry: 1\n\r\n", "f\r\ndata: \ndata: \n\n\r\n"};

    (void)state;
    for (size_t i = 0; i < 2 * 3 * 61 * (COUNT(events) + 1); i++) {
        size_t looped = i % 2, end = i / 2 % 3, room = end ? SIZE_MAX : i / 6 % 61, count = i / 6 / 61;
        char all[100] = "";

        prepare(SSE_OUTPUT_CALLBACK, SSE_FRAMING_CHUNKED, looped);
        open_client();
        client.output.room = room;
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(sse_emitter_send(client.emitter, &events[k]), 0);
            strcat(all, chunks[k]);
        }
        let_owner_work();
        assert_int_equal(end_it(end), 0);
        client.output.room = SIZE_MAX;
        (void)sse_emitter_flush(client.emitter);
        let_owner_work();
        assert_true(sse_emitter_flush(client.emitter) < 0);
        assert_int_equal(sse_emitter_complete(client.emitter), -EALREADY);
        assert_string_equal(fake_client_text(&client), strcat(all, end ? "" : "0\r\n\r\n"));
        check_accounts(count);
        if (end == 2) {
            sse_emitter_unref(client.emitter);
            client.emitter = NULL;
            let_owner_work();
            assert_int_equal(client.releases, 1);
        }
        fake_client_free(&client);
    }
}

static void memory_is_used_only_for_queued_events(void **state)
{
    static char text[2000];
    const struct sse_event events[] = {
        tick, {.id = {"id", 2}, .type = {"t", 1}, .data = {text, 400}}, {.data = {text, 2000}}};

    (void)state;
    memset(text, 'a', sizeof(text));
    for (unsigned framing = 0; framing < 2; framing++) {
        size_t allocations, bytes;

        prepare(SSE_OUTPUT_CALLBACK, framing, false);
        open_client();
        allocations = atomic_load(&fake.allocations);
        bytes = atomic_load(&fake.bytes);
        for (size_t i = 0; i < 1000; i++)
            assert_int_equal(sse_emitter_send(client.emitter, &events[i % 2]), 0);
        assert_int_equal(atomic_load(&fake.allocations), allocations);
        client.output.room = 100;
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(sse_emitter_send(client.emitter, &events[i % COUNT(events)]), 0);
        assert_true(atomic_load(&fake.bytes) > bytes);
        client.output.room = SIZE_MAX;
        assert_int_equal(sse_emitter_flush(client.emitter), 0);
        assert_int_equal(atomic_load(&fake.bytes), bytes);
        check_accounts(1100);
        fake_client_free(&client);
    }
}

/* An idle emitter has no memory for its queue, with a loop neither. */
static void an_idle_emitter_is_small(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        struct fake_client many[100];
        size_t bytes;

        prepare(SSE_OUTPUT_CALLBACK, 0, looped);
        open_client(); /* memory of the loop for all emitters */
        bytes = atomic_load(&fake.bytes);
        for (size_t i = 0; i < COUNT(many); i++)
            fake_client_new(&many[i], &fake, SSE_OUTPUT_PULL, client.loop);
        for (size_t i = 0; i < COUNT(many); i++)
            (void)fake_client_pull(&many[i]);
        /* Each emitter has a pointer in the loop's heap of timers and in its table of descriptors. */
        assert_true((atomic_load(&fake.bytes) - bytes) / COUNT(many) <= 320 + 5 * sizeof(void *) + 64);
        fake_clients_free(many, COUNT(many));
        fake_client_free(&client);
    }
}

static void a_full_queue_ends_the_emitter(void **state)
{
    /* framing, queue_bytes, queue_messages, room; then the number of events accepted, and written */
    static const unsigned rows[][6] = {
        {0, 12, 0, 0, 1, 0},  {0, 35, 0, 0, 2, 0},   {0, 36, 0, 0, 3, 0},        {0, 36, 0, 11, 3, 0},
        {0, 36, 0, 12, 4, 1}, {0, 36, 0, 24, 5, 2},  {1, 50, 0, 0, 2, 0},        {1, 51, 0, 0, 3, 0},
        {1, 51, 0, 16, 3, 0}, {1, 51, 0, 17, 4, 1},  {0, 0, 1, 0, 1, 0},         {0, 0, 9, 0, 9, 0},
        {0, 0, 9, 13, 10, 1}, {0, 0, 0, 0, 4096, 0}, {0, 0, 99999, 0, 87381, 0}, {1, 0, 99999, 0, 61680, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t accepted = 0;
        int error;

        prepare(SSE_OUTPUT_CALLBACK, rows[i][0], false);
        client.options.queue_bytes = rows[i][1];
        client.options.queue_messages = rows[i][2];
        open_client();
        client.output.room = rows[i][3];
        while (!(error = sse_emitter_send(client.emitter, &tick)))
            accepted++;
        assert_int_equal(error, -ENOBUFS);
        if (accepted != rows[i][4])
            fail_msg("row %zu: %u accepted", i, (unsigned)accepted);
        check_accounts(accepted);
        assert_string_equal(client.log, "ec");
        assert_int_equal(client.completion.reason, SSE_REASON_OVERFLOW);
        assert_int_equal(client.completion.error, -ENOBUFS);
        assert_int_equal(client.completion.events, rows[i][5]);
        assert_int_equal(client.completion.dropped, accepted - rows[i][5]);
        fake_client_free(&client);
    }
}

/* Every kind of event that is refused, in every output and framing, on an idle and a busy stream. */
static void a_refused_event_leaves_everything_as_it_was(void **state)
{
    static char large[300];
    static const struct {
        struct sse_event event;
        int error;
    } rows[] = {
        {{.retry_ms = 0}, -EINVAL},
        {{.type = {"t", 1}}, -EINVAL},
        {{.data = {NULL, 1}}, -EINVAL},
        {{.comment = {NULL, SIZE_MAX}}, -EINVAL},
        {{.type = {"a\rb", 3}, .data = {"", 0}}, -EINVAL},
        {{.type = {"a\nb", 3}, .data = {"", 0}}, -EINVAL},
        {{.type = {"a\0b", 3}, .data = {"", 0}}, -EINVAL},
        {{.id = {"1\n2", 3}, .data = {"", 0}}, -EINVAL},
        {{.id = {"1\0", 2}, .data = {"", 0}}, -EINVAL},
        {{.id = {" 1", 2}, .data = {"", 0}}, -EINVAL},
        {{.retry_ms = -1}, -ERANGE},
        {{.retry_ms = SSE_RETRY_MAX + 1}, -ERANGE},
        {{.data = {"\xc0\x80", 2}}, -EILSEQ},
        {{.comment = {"\xff", 1}}, -EILSEQ},
        {{.data = {"x", SIZE_MAX}}, -EOVERFLOW},
        {{.data = {"x", SSE_EVENT_SIZE_MAX + 1}}, -EMSGSIZE},
        {{.data = {large, sizeof(large)}}, -EMSGSIZE},
    };

    (void)state;
    memset(large, 'a', sizeof(large));
    for (size_t i = 0; i < COUNT(rows) * 16; i++) {
        unsigned framing = i % 2, backlog = i / 2 % 2, pull = i / 4 % 2, looped = i / 8 % 2;
        const struct sse_event *event = &rows[i / 16].event;
        struct sse_message *message;
        struct sse_emitter_info before, after;
        size_t size;

        prepare(pull ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, framing, looped);
        client.options.queue_bytes = sizeof(large);
        open_client();
        client.output.room = backlog ? 3 : SIZE_MAX;
        if (backlog)
            assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        let_owner_work();
        before = fake_client_info(&client);
        size = client.output.size;
        assert_int_equal(sse_emitter_send(client.emitter, event), rows[i / 16].error);
        if (!sse_message_new(&message, event, 1, &fake.platform)) {
            assert_int_equal(sse_emitter_send_message(client.emitter, message), rows[i / 16].error);
            sse_message_unref(message);
        }
        after = fake_client_info(&client);
        assert_int_equal(after.state, SSE_STATE_OPEN);
        assert_int_equal(after.queued_bytes, before.queued_bytes);
        assert_int_equal(after.queued_messages, before.queued_messages);
        assert_int_equal(after.bytes, before.bytes);
        assert_int_equal(after.dropped, before.dropped);
        assert_int_equal(client.output.size, size);
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        let_owner_work();
        check_accounts(1 + backlog);
        fake_client_free(&client);
    }
}

/* With a loop the sender does not call a write callback. A ping sends nothing if bytes are queued. */
static void a_ping_is_sent_only_when_nothing_is_queued(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool looped = i / 2;
        const char *const ping = i % 2 ? "2\r\n:\n\r\n" : ":\n";

        prepare(SSE_OUTPUT_CALLBACK, (unsigned)i % 2, looped);
        open_client();
        assert_int_equal(sse_emitter_ping(client.emitter), 0);
        let_owner_work();
        assert_string_equal(fake_client_text(&client), ping);
        assert_int_equal(fake_client_info(&client).events, 0);
        fake_client_forget(&client);
        client.output.room = 0;
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        let_owner_work();
        for (int k = 0; k < 3; k++)
            assert_int_equal(sse_emitter_ping(client.emitter), 0);
        assert_int_equal(fake_client_info(&client).queued_messages, 1);
        fake_client_make_room(&client, SIZE_MAX);
        assert_string_equal(fake_client_text(&client), i % 2 ? "c\r\ndata: tick\n\n\r\n" : "data: tick\n\n");
        fake_client_free(&client);
        assert_int_equal(client.completion.dropped, 0);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_completion_writes_the_last_chunk),
        TEST(memory_is_used_only_for_queued_events),
        TEST(an_idle_emitter_is_small),
        TEST(a_full_queue_ends_the_emitter),
        TEST(a_refused_event_leaves_everything_as_it_was),
        TEST(a_ping_is_sent_only_when_nothing_is_queued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

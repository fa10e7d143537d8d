/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POLICIES 4
/* The bytes of an event that send_one makes. */
#define SIZE 15

static struct fake_host host;

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

/* Its sink is full from the beginning. */
static struct fake_client *open_full(struct fake_client *client, enum sse_overflow overflow, size_t messages)
{
    fake_client_init(client, &host, SSE_DRAIN_CALLBACK);
    client->options.overflow = overflow;
    client->options.queue_messages = messages;
    client->sink.room = 0;
    fake_client_open(client);
    return client;
}

static struct sse_event event_of(const char *text)
{
    return (struct sse_event){.data = sse_str(text), .id = sse_str(text)};
}

/* An event whose data and id are this letter: SIZE bytes. */
static int send_one(struct fake_client *client, const char *letter)
{
    const struct sse_event event = event_of(letter);

    return sse_emitter_send(client->emitter, &event);
}

static int send_keyed(struct fake_client *client, const char *letter, const char *key)
{
    struct sse_event event = event_of(letter);

    event.key = sse_str(key);
    return sse_emitter_send(client->emitter, &event);
}

/* The letters of the events that came through, in order; whatever else came fails. */
static void expect_letters(struct fake_client *client, const char *letters)
{
    const char *at = fake_client_text(client);

    for (; *letters; letters++) {
        char event[SIZE + 1];

        (void)snprintf(event, sizeof(event), "data: %c\nid: %c\n\n", *letters, *letters);
        assert_memory_equal(at, event, SIZE);
        at += SIZE;
    }
    assert_string_equal(at, "");
}

static void expect_open(const struct fake_client *client, uint64_t dropped, size_t queued)
{
    struct sse_emitter_info info = fake_client_info(client);

    assert_int_equal(info.state, SSE_STATE_OPEN);
    assert_int_equal(info.reason, SSE_REASON_NONE);
    assert_int_equal(info.dropped, dropped);
    assert_int_equal(info.queued_messages, queued);
    assert_int_equal(client->completions, 0);
    assert_int_equal(client->errors, 0);
}

static void expect_overflow(const struct fake_client *client, int error, uint64_t dropped)
{
    struct sse_emitter_info info = fake_client_info(client);

    assert_int_equal(info.state, SSE_STATE_CLOSED);
    assert_int_equal(info.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(info.error, error);
    assert_int_equal(info.dropped, dropped);
    assert_int_equal(info.queued_messages, 0);
    assert_int_equal(info.queued_bytes, 0);
    assert_int_equal(client->errors, 1);
    assert_int_equal(client->error, error);
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(client->completion.error, error);
    assert_int_equal(client->completion.dropped, dropped);
}

static void closing_keeps_no_client_that_missed_something(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_CLOSE, 2);
    client.sink.room = SIZE + 5;
    assert_int_equal(send_one(&client, "a"), 0);
    assert_int_equal(send_one(&client, "b"), 0);
    assert_int_equal(send_one(&client, "c"), 0);
    assert_int_equal(fake_client_info(&client).queued_bytes, 2 * SIZE - 5);
    assert_int_equal(send_one(&client, "d"), -ENOBUFS);
    expect_overflow(&client, -ENOBUFS, 2);
    assert_int_equal(client.completion.events, 1);
    assert_int_equal(client.completion.bytes, SIZE + 5);
    assert_string_equal(client.last_id, "a");
    assert_int_equal(send_one(&client, "e"), -ENOBUFS);
    fake_client_make_room(&client, SIZE_MAX);
    assert_int_equal(client.sink.size, SIZE + 5);
    expect_overflow(&client, -ENOBUFS, 2);
    fake_client_free(&client);
}

static void dropping_the_newest_keeps_what_waits(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_DROP_NEWEST, 2);
    assert_int_equal(send_one(&client, "a"), 0);
    assert_int_equal(send_one(&client, "b"), 0);
    assert_int_equal(send_one(&client, "c"), -ENOBUFS);
    assert_int_equal(send_one(&client, "d"), -ENOBUFS);
    expect_open(&client, 2, 2);
    fake_client_make_room(&client, SIZE_MAX);
    assert_int_equal(send_one(&client, "e"), 0);
    expect_open(&client, 2, 0);
    expect_letters(&client, "abe");
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    assert_int_equal(client.completion.dropped, 2);
    assert_int_equal(client.completion.events, 3);
    fake_client_free(&client);
}

static void dropping_the_oldest_keeps_what_is_new(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_DROP_OLDEST, 3);
    for (const char *letter = "abcdefg"; *letter; letter++)
        assert_int_equal(send_one(&client, (const char[]){*letter, '\0'}), 0);
    expect_open(&client, 4, 3);
    fake_client_make_room(&client, SIZE_MAX);
    expect_open(&client, 4, 0);
    expect_letters(&client, "efg");
    fake_client_free(&client);
}

/* Several small ones go for a large one, as many as it takes. */
static void bytes_are_a_limit_too(void **state)
{
    const struct sse_event large = {.data = sse_str("ABCDEFGHIJKLMNOP")};
    const struct sse_event last = {.data = sse_str("Z")};
    struct fake_client client;

    (void)state;
    fake_client_init(&client, &host, SSE_DRAIN_CALLBACK);
    client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    client.options.queue_bytes = 4 * SIZE;
    client.sink.room = 0;
    fake_client_open(&client);
    for (const char *letter = "abcd"; *letter; letter++)
        assert_int_equal(send_one(&client, (const char[]){*letter, '\0'}), 0);
    expect_open(&client, 0, 4);
    assert_int_equal(sse_emitter_send(client.emitter, &large), 0);
    expect_open(&client, 2, 3);
    assert_int_equal(fake_client_info(&client).queued_bytes, 2 * SIZE + 24);
    /* Six bytes are free, and nine are needed. */
    assert_int_equal(sse_emitter_send(client.emitter, &last), 0);
    expect_open(&client, 3, 3);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "data: d\nid: d\n\ndata: ABCDEFGHIJKLMNOP\n\ndata: Z\n\n");
    fake_client_free(&client);
}

/* The newer one waits at the end: ids stay in order, full or not. */
static void coalescing_keeps_the_order_of_ids(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_COALESCE, 3);
    assert_int_equal(send_keyed(&client, "a", "x"), 0);
    assert_int_equal(send_keyed(&client, "b", "y"), 0);
    assert_int_equal(send_keyed(&client, "c", "x"), 0);
    expect_open(&client, 1, 2);
    assert_int_equal(send_one(&client, "d"), 0);
    assert_int_equal(send_keyed(&client, "e", "y"), 0);
    expect_open(&client, 2, 3);
    assert_int_equal(send_keyed(&client, "f", "x"), 0);
    expect_open(&client, 3, 3);
    fake_client_make_room(&client, SIZE_MAX);
    expect_letters(&client, "def");
    assert_int_equal(send_keyed(&client, "g", "x"), 0);
    expect_letters(&client, "defg");
    expect_open(&client, 3, 0);
    fake_client_free(&client);
}

/* An empty key is a key; an absent one never equals another. */
static void keys_are_compared_whole(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_COALESCE, 8);
    assert_int_equal(send_one(&client, "a"), 0);
    assert_int_equal(send_one(&client, "b"), 0);
    assert_int_equal(send_keyed(&client, "c", ""), 0);
    assert_int_equal(send_keyed(&client, "d", "x"), 0);
    assert_int_equal(send_keyed(&client, "e", "xy"), 0);
    expect_open(&client, 0, 5);
    assert_int_equal(send_keyed(&client, "f", ""), 0);
    assert_int_equal(send_keyed(&client, "g", "xy"), 0);
    expect_open(&client, 2, 5);
    fake_client_make_room(&client, SIZE_MAX);
    expect_letters(&client, "abdfg");
    fake_client_free(&client);
}

static void coalescing_closes_if_it_does_not_fit_even_so(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_COALESCE, 2);
    assert_int_equal(send_keyed(&client, "a", "x"), 0);
    assert_int_equal(send_keyed(&client, "b", "y"), 0);
    assert_int_equal(send_keyed(&client, "c", "z"), -ENOBUFS);
    expect_overflow(&client, -ENOBUFS, 2);
    fake_client_free(&client);

    open_full(&client, SSE_OVERFLOW_COALESCE, 1);
    assert_int_equal(send_keyed(&client, "a", "x"), 0);
    assert_int_equal(send_one(&client, "b"), -ENOBUFS);
    expect_overflow(&client, -ENOBUFS, 1);
    fake_client_free(&client);
}

/* For each policy, at each place at which the first event can be torn. */
static void what_has_begun_to_leave_is_never_dropped(void **state)
{
    const enum sse_overflow policies[] = {SSE_OVERFLOW_DROP_OLDEST, SSE_OVERFLOW_COALESCE};

    (void)state;
    for (size_t i = 0; i < COUNT(policies); i++) {
        for (size_t torn = 1; torn < SIZE; torn++) {
            struct fake_client client;

            open_full(&client, policies[i], 2);
            client.sink.room = torn;
            assert_int_equal(send_keyed(&client, "a", "x"), 0);
            assert_int_equal(send_keyed(&client, "b", "x"), 0);
            expect_open(&client, 0, 2);
            assert_int_equal(send_keyed(&client, "c", "x"), 0);
            expect_open(&client, 1, 2);
            fake_client_make_room(&client, SIZE_MAX);
            expect_letters(&client, "ac");
            fake_client_free(&client);
        }
    }
}

/* Events that cannot help are not given up for one that has no place either way. */
static void nothing_is_dropped_in_vain(void **state)
{
    const struct sse_event large = {.data = sse_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ")};
    const struct sse_event too_large = {.data =
                                            sse_str("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWX")};
    struct fake_client client;

    (void)state;
    fake_client_init(&client, &host, SSE_DRAIN_CALLBACK);
    client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    client.options.queue_bytes = 4 * SIZE;
    client.sink.room = 1;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_send(client.emitter, &large), 0);
    assert_int_equal(send_one(&client, "a"), 0);
    assert_int_equal(sse_emitter_send(client.emitter, &large), -ENOBUFS);
    expect_open(&client, 1, 2);
    assert_int_equal(sse_emitter_send(client.emitter, &too_large), -ENOBUFS);
    expect_open(&client, 2, 2);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "data: ABCDEFGHIJKLMNOPQRSTUVWXYZ\n\ndata: a\nid: a\n\n");
    fake_client_free(&client);
}

static void head_and_retry_are_never_dropped(void **state)
{
    static const char preamble[] = "HEAD\r\n\r\nretry: 5\n";
    struct fake_client client;

    (void)state;
    for (size_t room = 0; room < sizeof(preamble) - 1; room++) {
        fake_client_init(&client, &host, SSE_DRAIN_CALLBACK);
        client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
        client.options.queue_messages = 3;
        client.options.head = sse_str("HEAD\r\n\r\n");
        client.options.retry_ms = 5;
        client.sink.room = room;
        fake_client_open(&client);
        assert_int_equal(send_one(&client, "a"), 0);
        assert_int_equal(send_one(&client, "b"), 0);
        assert_int_equal(send_one(&client, "c"), 0);
        assert_int_equal(send_one(&client, "d"), 0);
        expect_open(&client, room < 8 ? 3 : 2, room < 8 ? 3 : 3);
        fake_client_make_room(&client, SIZE_MAX);
        assert_memory_equal(fake_client_text(&client), preamble, sizeof(preamble) - 1);
        assert_string_equal(fake_client_text(&client) + sizeof(preamble) - 1,
                            room < 8 ? "data: d\nid: d\n\n" : "data: c\nid: c\n\ndata: d\nid: d\n\n");
        fake_client_free(&client);
    }
}

/* Then the new event has no place, and only the policy decides about the emitter. */
static void a_queue_full_of_what_stays_takes_no_event(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        struct fake_client client;

        fake_client_init(&client, &host, SSE_DRAIN_CALLBACK);
        client.options.overflow = (enum sse_overflow)policy;
        client.options.queue_messages = 2;
        client.options.head = sse_str("HEAD");
        client.options.retry_ms = 5;
        client.sink.room = 0;
        fake_client_open(&client);
        assert_int_equal(send_keyed(&client, "a", "x"), -ENOBUFS);
        if (policy == SSE_OVERFLOW_DROP_NEWEST || policy == SSE_OVERFLOW_DROP_OLDEST) {
            expect_open(&client, 1, 2);
            fake_client_make_room(&client, SIZE_MAX);
            assert_string_equal(fake_client_text(&client), "HEADretry: 5\n");
        } else {
            expect_overflow(&client, -ENOBUFS, 0);
        }
        fake_client_free(&client);
    }
}

/* Neither what waits nor the emitter pays for an event that could never be sent. */
static void too_large_an_event_changes_nothing(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        char text[600];
        struct sse_event large = {.data = {text, 60}, .key = sse_str("x")};
        struct sse_message *message;
        struct fake_client client;

        memset(text, 'L', sizeof(text));
        fake_client_init(&client, &host, SSE_DRAIN_CALLBACK);
        client.options.overflow = (enum sse_overflow)policy;
        client.options.queue_bytes = 4 * SIZE;
        client.sink.room = 0;
        fake_client_open(&client);
        assert_int_equal(sse_emitter_send(client.emitter, &large), -EMSGSIZE);
        assert_int_equal(send_keyed(&client, "a", "x"), 0);
        assert_int_equal(send_keyed(&client, "b", "y"), 0);
        assert_int_equal(sse_emitter_send(client.emitter, &large), -EMSGSIZE);
        large.data.len = sizeof(text);
        assert_int_equal(sse_emitter_send(client.emitter, &large), -EMSGSIZE);
        assert_int_equal(sse_message_new(&message, &large, 1, &host.host), 0);
        assert_int_equal(sse_emitter_send_message(client.emitter, message), -EMSGSIZE);
        sse_message_unref(message);
        expect_open(&client, 0, 2);
        fake_client_make_room(&client, SIZE_MAX);
        expect_letters(&client, "ab");
        fake_client_free(&client);
    }
}

static void without_memory_a_send_changes_nothing(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        const struct sse_event event = {.data = sse_str("n"), .key = sse_str("new")};
        struct sse_message *message;
        struct fake_client client;

        open_full(&client, (enum sse_overflow)policy, 4);
        assert_int_equal(sse_message_new(&message, &event, 1, &host.host), 0);
        assert_int_equal(send_keyed(&client, "a", "x"), 0);
        fake_host_fail_at(&host, 1, true);
        assert_int_equal(sse_emitter_send_message(client.emitter, message), -ENOMEM);
        assert_int_equal(send_keyed(&client, "c", "x"), -ENOMEM);
        fake_host_fail_at(&host, 0, false);
        expect_open(&client, 0, 1);
        assert_int_equal(send_keyed(&client, "b", "y"), 0);
        assert_int_equal(send_keyed(&client, "d", "z"), 0);
        fake_client_make_room(&client, SIZE_MAX);
        expect_letters(&client, "abd");
        sse_message_unref(message);
        fake_client_free(&client);
    }
}

/* Sends while the sink holds the pieces that it was offered. */
struct intruder {
    struct fake_client *client;
    const char *letters;
    int results[8];
    size_t count;
};

static void intrude(struct fake_sink *sink, void *user)
{
    struct intruder *intruder = user;

    sink->on_write = NULL;
    for (const char *letter = intruder->letters; *letter; letter++)
        intruder->results[intruder->count++] =
            send_keyed(intruder->client, (const char[]){*letter, '\0'}, "x");
}

static void what_the_sink_looks_at_is_never_dropped(void **state)
{
    const enum sse_overflow policies[] = {SSE_OVERFLOW_DROP_OLDEST, SSE_OVERFLOW_COALESCE};

    (void)state;
    for (size_t i = 0; i < COUNT(policies); i++) {
        for (size_t waiting = 1; waiting <= 3; waiting++) {
            struct fake_client client;
            struct intruder intruder = {.client = &client, .letters = "def"};

            open_full(&client, policies[i], 4);
            for (size_t j = 0; j < waiting; j++)
                assert_int_equal(send_one(&client, (const char[]){(char)('a' + j), '\0'}), 0);
            client.sink.on_write = intrude;
            client.sink.user = &intruder;
            client.sink.take_max = 4;
            fake_client_make_room(&client, SIZE_MAX);
            assert_int_equal(intruder.count, 3);
            for (size_t j = 0; j < intruder.count; j++)
                assert_int_equal(intruder.results[j], 0);
            if (policies[i] == SSE_OVERFLOW_COALESCE)
                expect_letters(&client, (const char *const[]){"af", "abf", "abcf"}[waiting - 1]);
            else
                expect_letters(&client, (const char *const[]){"adef", "abef", "abcf"}[waiting - 1]);
            expect_open(&client, policies[i] == SSE_OVERFLOW_COALESCE ? 2 : waiting - 1, 0);
            fake_client_free(&client);
        }
    }
}

/* The message of a direct send lies on the stack of the sender: it, too, stays where it is. */
static void a_direct_send_is_not_dropped_from_inside(void **state)
{
    (void)state;
    for (size_t messages = 1; messages <= 2; messages++) {
        struct fake_client client;
        struct intruder intruder = {.client = &client, .letters = "bc"};

        open_full(&client, SSE_OVERFLOW_DROP_OLDEST, messages);
        client.sink.room = SIZE_MAX;
        client.sink.on_write = intrude;
        client.sink.user = &intruder;
        client.sink.take_max = 1;
        assert_int_equal(send_keyed(&client, "a", "x"), 0);
        assert_int_equal(intruder.results[0], messages == 1 ? -ENOBUFS : 0);
        assert_int_equal(intruder.results[1], messages == 1 ? -ENOBUFS : 0);
        expect_letters(&client, messages == 1 ? "a" : "ac");
        expect_open(&client, messages == 1 ? 2 : 1, 0);
        fake_client_free(&client);
    }
}

static void what_a_peek_showed_is_never_dropped(void **state)
{
    (void)state;
    for (int shown = 1; shown <= 3; shown++) {
        static const char *const rest[] = {"ade", "abe", "abc"};
        struct fake_client client;
        struct iovec iov[3];

        fake_client_init(&client, &host, SSE_DRAIN_PULL);
        client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
        client.options.queue_messages = 3;
        fake_client_open(&client);
        for (const char *letter = "abc"; *letter; letter++)
            assert_int_equal(send_one(&client, (const char[]){*letter, '\0'}), 0);
        assert_int_equal(sse_emitter_peek(client.emitter, iov, shown), shown);
        assert_int_equal(send_one(&client, "d"), shown < 3 ? 0 : -ENOBUFS);
        assert_int_equal(send_one(&client, "e"), shown < 3 ? 0 : -ENOBUFS);
        expect_open(&client, 2, 3);
        for (int i = 0; i < shown; i++) {
            (void)fake_sink_write(&client.sink, &iov[i], 1);
            assert_int_equal(iov[i].iov_len, SIZE);
        }
        assert_int_equal(sse_emitter_advance(client.emitter, (size_t)shown * SIZE), 0);
        (void)fake_client_pull(&client);
        expect_letters(&client, rest[shown - 1]);
        fake_client_free(&client);
    }
}

/* A later look, and one that is given up, hold no more than they show. */
static void a_peek_that_is_over_holds_nothing(void **state)
{
    struct fake_client client;
    struct iovec iov[3];

    (void)state;
    fake_client_init(&client, &host, SSE_DRAIN_PULL);
    client.options.overflow = SSE_OVERFLOW_COALESCE;
    fake_client_open(&client);
    assert_int_equal(send_keyed(&client, "a", "x"), 0);
    assert_int_equal(send_keyed(&client, "b", "y"), 0);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 3), 2);
    assert_int_equal(send_keyed(&client, "c", "y"), 0);
    expect_open(&client, 0, 3);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 1), 1);
    assert_int_equal(send_keyed(&client, "d", "y"), 0);
    expect_open(&client, 1, 3);
    assert_int_equal(sse_emitter_advance(client.emitter, 0), 0);
    assert_int_equal(send_keyed(&client, "e", "x"), 0);
    expect_open(&client, 2, 3);
    (void)fake_client_pull(&client);
    expect_letters(&client, "cde");
    fake_client_free(&client);
}

/* The end inside on_ready, and a look at the bytes afterwards: what is lost is counted all the same. */
static void end_and_look(struct fake_client *client, void *user)
{
    struct iovec iov[2];
    char byte;

    assert_int_equal(sse_emitter_complete_with_error(client->emitter, -EPIPE), 0);
    if (*(int *)user == 0)
        assert_int_equal(sse_emitter_peek(client->emitter, iov, 2), -EPIPE);
    else if (*(int *)user == 1)
        assert_int_equal(sse_emitter_read(client->emitter, &byte, 1), -EPIPE);
    else
        assert_int_equal(sse_emitter_advance(client->emitter, 0), 0);
}

static void what_an_end_inside_a_hook_costs_is_counted(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct fake_client client;

        fake_client_new(&client, &host, SSE_DRAIN_PULL);
        assert_int_equal(fake_client_pull(&client), 0);
        client.act = end_and_look;
        client.act_user = &way;
        (void)send_one(&client, "a");
        assert_int_equal(client.ready, 1);
        assert_int_equal(client.completions, 1);
        assert_int_equal(client.completion.dropped, 1);
        assert_int_equal(fake_client_info(&client).dropped, 1);
        fake_client_free(&client);
    }
}

/* An event that was offered is written, dropped or waits, and the ids that arrive ascend. */
static void check_balance(struct fake_client *client, uint64_t offered)
{
    struct sse_emitter_info info = fake_client_info(client);
    const char *at = fake_client_text(client);
    unsigned long last = 0;

    assert_int_equal(info.events + info.dropped + info.queued_messages, offered);
    while ((at = strstr(at, "\nid: "))) {
        char *end;
        unsigned long id = strtoul(at + strlen("\nid: "), &end, 10);

        assert_true(id > last || *end != '\n');
        last = id;
        at = end;
    }
}

static void every_event_is_accounted_for(void **state)
{
    static const char *const keys[] = {"x", "y", "z", NULL};

    (void)state;
    for (int policy = SSE_OVERFLOW_DROP_NEWEST; policy <= SSE_OVERFLOW_DROP_OLDEST; policy++) {
        struct fake_client client;

        open_full(&client, (enum sse_overflow)policy, 5);
        for (uint64_t i = 1; i <= 600; i++) {
            uint64_t random = host.host.random(host.host.user);
            char id[24];

            (void)snprintf(id, sizeof(id), "%" PRIu64, i);
            (void)send_keyed(&client, id, keys[random % 4]);
            if (random >> 8 & 1)
                fake_client_make_room(&client, (random >> 16) % 30);
            check_balance(&client, i);
        }
        assert_true(fake_client_info(&client).dropped > 50);
        assert_true(fake_client_info(&client).events > 50);
        fake_client_free(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(closing_keeps_no_client_that_missed_something, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropping_the_newest_keeps_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropping_the_oldest_keeps_what_is_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_a_limit_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(coalescing_keeps_the_order_of_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_compared_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(coalescing_closes_if_it_does_not_fit_even_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_begun_to_leave_is_never_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_dropped_in_vain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_and_retry_are_never_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_full_of_what_stays_takes_no_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_large_an_event_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_a_send_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_sink_looks_at_is_never_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_direct_send_is_not_dropped_from_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_peek_showed_is_never_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peek_that_is_over_holds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_end_inside_a_hook_costs_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_event_is_accounted_for, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

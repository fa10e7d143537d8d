/* SPDX-License-Identifier: MIT */
/* Before the owner's turn nothing overflows, and bytes that somebody is reading are never dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "letters.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POLICIES 4
/* The most that a queue may contain before the owner has tried to write. */
#define UNTRIED_FACTOR 4

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client client;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    assert_int_equal(
        sse_registry_new(&registry,
                         &(struct sse_registry_options){.size = sizeof(struct sse_registry_options),
                                                        .platform = &fake.platform}),
        0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_loop_close(&loop);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

/* The stream has begun, and its output has room for this many bytes. */
static void open_client(enum sse_output output, bool looped, int policy, size_t messages, size_t room)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.registry = looped || output == SSE_OUTPUT_PULL ? registry : NULL;
    client.options.overflow = (enum sse_overflow)policy;
    client.options.queue_messages = messages;
    fake_client_open(&client);
    if (looped)
        (void)fake_loop_settle(&loop);
    else
        (void)sse_emitter_flush(client.emitter);
    if (output == SSE_OUTPUT_PULL)
        assert_int_equal(fake_client_pull(&client), 0);
    fake_client_forget(&client);
    client.output.room = output == SSE_OUTPUT_PULL ? SIZE_MAX : room;
}

static struct sse_delivery publish_letter(char letter)
{
    const char text[] = {letter, '\0'};
    struct sse_delivery delivery;

    assert_int_equal(sse_registry_publish(registry, sse_str(NULL),
                                          &(struct sse_event){.data = sse_str(text), .id = sse_str(text)},
                                          &delivery),
                     0);
    return delivery;
}

/* Sends and publishes in turn. */
static void bring(const char *letters)
{
    for (; *letters; letters++) {
        if (*letters % 2)
            assert_int_equal(send_letter(&client, *letters), 0);
        else
            assert_int_equal(publish_letter(*letters).receivers, 1);
    }
}

/* However long the loop was busy, all of it is written if there is room. */
static void nobody_overflows_before_the_turn(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        open_client(SSE_OUTPUT_CALLBACK, true, policy, 3, SIZE_MAX);
        bring("abcdefghijkl");
        expect_open(&client, 0, UNTRIED_FACTOR * 3);
        assert_int_equal(client.output.calls, 1);
        (void)fake_loop_turn(&loop);
        expect_letters(&client, "abcdefghijkl");
        expect_open(&client, 0, 0);
        fake_client_free(&client);
    }
}

/* Above four times the limit, the policy decides without a turn. */
static void four_times_the_limit_is_the_limit(void **state)
{
    static const char *const rest[] = {NULL, "abcdefgh", "bcdefghi", NULL};

    (void)state;
    for (int i = 0; i < POLICIES * 2; i++) {
        const int policy = i / 2;
        struct sse_delivery delivery;
        int error;

        open_client(SSE_OUTPUT_CALLBACK, true, policy, 2, SIZE_MAX);
        bring("abcdefgh");
        if (i % 2) {
            delivery = publish_letter('i');
            assert_int_equal(delivery.receivers, policy == SSE_OVERFLOW_DROP_OLDEST);
            assert_int_equal(delivery.dropped, policy == SSE_OVERFLOW_DROP_NEWEST);
            assert_int_equal(delivery.ended, !rest[policy]);
        } else {
            error = send_letter(&client, 'i');
            assert_int_equal(error, policy == SSE_OVERFLOW_DROP_OLDEST ? 0 : -ENOBUFS);
        }
        assert_int_equal(client.completions, 0);
        (void)fake_loop_settle(&loop);
        if (rest[policy]) {
            expect_letters(&client, rest[policy]);
            expect_open(&client, 1, 0);
        } else {
            expect_overflow(&client, -ENOBUFS, 8);
        }
        fake_client_free(&client);
    }
}

/* The limit is in bytes. A single event always counts whole. */
static void the_bytes_may_be_four_times_the_limit_too(void **state)
{
    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.loop = &loop;
    client.options.queue_bytes = 2 * LETTER_SIZE + 1;
    fake_client_open(&client);
    (void)fake_loop_settle(&loop);
    send_letters(&client, "abcdefgh");
    assert_int_equal(send_letter(&client, 'i'), -ENOBUFS);
    (void)fake_loop_settle(&loop);
    expect_overflow(&client, -ENOBUFS, 8);
    fake_client_free(&client);
}

/* The turn writes what it can, and then the limit counts. */
static void the_limit_counts_after_the_turn_has_tried_to_write(void **state)
{
    static const struct {
        const char *letters, *rest; /* the events of which no byte was written */
    } rows[POLICIES] = {{"abcdefg", NULL}, {"abcdefg", "cd"}, {"abcdefg", "fg"}, {"abcdefg", NULL}};

    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        open_client(SSE_OUTPUT_CALLBACK, true, policy, 3, LETTER_SIZE + 4);
        bring(rows[policy].letters);
        expect_open(&client, 0, 7);
        (void)fake_loop_turn(&loop);
        if (rows[policy].rest) {
            expect_open(&client, 3, 3);
            fake_client_make_room(&client, SIZE_MAX);
            expect_letters(&client, policy == SSE_OVERFLOW_DROP_NEWEST ? "abcd" : "abfg");
            expect_open(&client, 3, 0);
        } else {
            expect_overflow(&client, -ENOBUFS, 6);
            assert_string_equal(client.last_id, "a");
        }
        fake_client_free(&client);
    }
}

/* From then on the output is known to be full, and the limit counts at once. */
static void a_full_output_is_held_to_the_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_client(SSE_OUTPUT_CALLBACK, true, SSE_OVERFLOW_DROP_NEWEST, 3, 0);
        bring("abc");
        (void)fake_loop_turn(&loop);
        assert_string_equal(client.log, "b");
        if (i)
            assert_int_equal(send_letter(&client, 'd'), -ENOBUFS);
        else
            assert_int_equal(publish_letter('d').dropped, 1);
        expect_open(&client, 1, 3);
        /* Room was reported, so the output is not known to be full. */
        assert_int_equal(sse_emitter_flush(client.emitter), 1);
        bring("ef");
        expect_open(&client, 1, 5);
        client.output.room = SIZE_MAX;
        (void)fake_loop_turn(&loop);
        expect_letters(&client, "abcef");
        fake_client_free(&client);
    }
}

/* The reader was notified, and has not come by the next turn. */
static void a_reader_has_a_turn_to_come(void **state)
{
    (void)state;
    for (int comes = 0; comes < 2; comes++) {
        open_client(SSE_OUTPUT_PULL, true, SSE_OVERFLOW_END, 2, 0);
        bring("abcdefgh");
        expect_open(&client, 0, 8);
        (void)fake_loop_turn(&loop);
        assert_int_equal(client.readable, 2);
        expect_open(&client, 0, 8);
        if (comes) {
            assert_int_equal(fake_client_pull(&client), 0);
            expect_letters(&client, "abcdefgh");
        }
        (void)fake_loop_settle(&loop);
        if (comes)
            expect_open(&client, 0, 0);
        else
            expect_overflow(&client, -ENOBUFS, 8);
        fake_client_free(&client);
    }
}

/* Without a loop, a reader that does not wait counts as absent. */
static void a_reader_without_a_loop_is_held_to_the_limit(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        open_client(SSE_OUTPUT_PULL, false, policy, 2, 0);
        bring("ab");
        if (policy == SSE_OVERFLOW_DROP_OLDEST)
            assert_int_equal(send_letter(&client, 'c'), 0);
        else
            assert_int_equal(send_letter(&client, 'c'), -ENOBUFS);
        if (policy == SSE_OVERFLOW_DROP_NEWEST || policy == SSE_OVERFLOW_DROP_OLDEST) {
            expect_open(&client, 1, 2);
            assert_int_equal(fake_client_pull(&client), 0);
            expect_letters(&client, policy == SSE_OVERFLOW_DROP_OLDEST ? "bc" : "ab");
        } else {
            assert_int_equal(fake_client_pull(&client), -EIO);
            expect_overflow(&client, -ENOBUFS, 2);
        }
        fake_client_free(&client);
    }
}

/* Sends while the output reads the offered pieces. */
struct intruder {
    const char *letters;
    int results[16];
    size_t count;
};

static void intrude(struct fake_output *output, void *user)
{
    struct intruder *intruder = user;

    output->on_write = NULL;
    for (const char *letter = intruder->letters; *letter; letter++)
        intruder->results[intruder->count++] = send_keyed_letter(&client, *letter, "x");
}

static void events_offered_to_the_output_are_never_dropped(void **state)
{
    static const char *const first[] = {"a", "ab", "abc"};
    static const char *const more[] = {"defgh", "defghijk", "defghijklmn"};
    static const char *const rest[][2] = {{"afgh", "ah"}, {"abfghijk", "abk"}, {"abcfghijklmn", "abcn"}};

    (void)state;
    for (size_t i = 0; i < 2 * 3 * 2; i++) {
        bool coalesces = i % 2, looped = i / 2 % 2;
        size_t waiting = i / 4;
        struct intruder intruder = {.letters = more[waiting]};

        open_client(SSE_OUTPUT_CALLBACK, looped, coalesces ? SSE_OVERFLOW_COALESCE : SSE_OVERFLOW_DROP_OLDEST,
                    waiting + 1, 0);
        send_letters(&client, first[waiting]);
        if (looped)
            (void)fake_loop_turn(&loop);
        client.output.on_write = intrude;
        client.output.user = &intruder;
        client.output.take_max = 4;
        fake_client_make_room(&client, SIZE_MAX);
        for (int k = 0; k < 4; k++)
            fake_client_make_room(&client, SIZE_MAX);
        assert_int_equal(intruder.count, strlen(more[waiting]));
        for (size_t k = 0; k < intruder.count; k++)
            assert_int_equal(intruder.results[k], 0);
        expect_letters(&client, rest[waiting][coalesces]);
        expect_open(&client, coalesces ? intruder.count - 1 : 2, 0);
        fake_client_free(&client);
    }
}

/* The message of a direct send is on the sender's stack. It stays there too. */
static void a_direct_send_is_not_dropped_from_inside(void **state)
{
    struct intruder intruder = {.letters = "bcdef"};

    (void)state;
    open_client(SSE_OUTPUT_CALLBACK, false, SSE_OVERFLOW_DROP_OLDEST, 1, SIZE_MAX);
    client.output.on_write = intrude;
    client.output.user = &intruder;
    client.output.take_max = 1;
    assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
    while (sse_emitter_flush(client.emitter))
        ;
    for (size_t i = 0; i < intruder.count; i++)
        assert_int_equal(intruder.results[i], 0);
    expect_letters(&client, "adef");
    expect_open(&client, 2, 0);
    fake_client_free(&client);
}

static void peeked_events_are_never_dropped(void **state)
{
    (void)state;
    for (int shown = 1; shown <= 3; shown++) {
        static const char *const rest[] = {"ade", "abe", "abc"};
        struct iovec iov[3];

        open_client(SSE_OUTPUT_PULL, false, SSE_OVERFLOW_DROP_OLDEST, 3, SIZE_MAX);
        send_letters(&client, "abc");
        assert_int_equal(sse_emitter_peek(client.emitter, iov, shown), shown);
        assert_int_equal(send_letter(&client, 'd'), shown < 3 ? 0 : -ENOBUFS);
        assert_int_equal(send_letter(&client, 'e'), shown < 3 ? 0 : -ENOBUFS);
        expect_open(&client, 2, 3);
        for (int i = 0; i < shown; i++) {
            (void)fake_output_write(&client.output, &iov[i], 1);
            assert_int_equal(iov[i].iov_len, LETTER_SIZE);
        }
        assert_int_equal(sse_emitter_consume(client.emitter, (size_t)shown * LETTER_SIZE), 0);
        (void)fake_client_pull(&client);
        expect_letters(&client, rest[shown - 1]);
        fake_client_free(&client);
    }
}

/* A later peek, or one that was given up, protects only what it shows. */
static void a_peek_that_is_over_protects_nothing(void **state)
{
    struct iovec iov[3];

    (void)state;
    open_client(SSE_OUTPUT_PULL, false, SSE_OVERFLOW_COALESCE, 10, SIZE_MAX);
    assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
    assert_int_equal(send_keyed_letter(&client, 'b', "y"), 0);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 3), 2);
    assert_int_equal(send_keyed_letter(&client, 'c', "y"), 0);
    expect_open(&client, 0, 3);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, 1), 1);
    assert_int_equal(send_keyed_letter(&client, 'd', "y"), 0);
    expect_open(&client, 1, 3);
    assert_int_equal(sse_emitter_consume(client.emitter, 0), 0);
    assert_int_equal(send_keyed_letter(&client, 'e', "x"), 0);
    expect_open(&client, 2, 3);
    (void)fake_client_pull(&client);
    expect_letters(&client, "cde");
    fake_client_free(&client);
}

/* The emitter ends inside on_ready, and is peeked at afterwards. The lost events are still counted. */
static void end_and_look(struct fake_client *of, void *user)
{
    struct iovec iov[2];
    char byte;

    assert_int_equal(sse_emitter_abort(of->emitter, -EPIPE), 0);
    if (*(int *)user == 0)
        assert_int_equal(sse_emitter_peek(of->emitter, iov, 2), -EPIPE);
    else if (*(int *)user == 1)
        assert_int_equal(sse_emitter_read(of->emitter, &byte, 1), -EPIPE);
    else
        assert_int_equal(sse_emitter_consume(of->emitter, 0), 0);
}

static void events_lost_by_an_end_inside_on_ready_are_counted(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        open_client(SSE_OUTPUT_PULL, true, SSE_OVERFLOW_END, 10, SIZE_MAX);
        client.act = end_and_look;
        client.act_user = &way;
        assert_int_equal(send_letter(&client, 'a'), 0);
        (void)fake_loop_settle(&loop);
        assert_string_equal(client.log, "rrec");
        assert_int_equal(client.completion.dropped, 1);
        assert_int_equal(fake_client_info(&client).dropped, 1);
        fake_client_free(&client);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_overflows_before_the_turn),
        TEST(four_times_the_limit_is_the_limit),
        TEST(the_bytes_may_be_four_times_the_limit_too),
        TEST(the_limit_counts_after_the_turn_has_tried_to_write),
        TEST(a_full_output_is_held_to_the_limit),
        TEST(a_reader_has_a_turn_to_come),
        TEST(a_reader_without_a_loop_is_held_to_the_limit),
        TEST(events_offered_to_the_output_are_never_dropped),
        TEST(a_direct_send_is_not_dropped_from_inside),
        TEST(peeked_events_are_never_dropped),
        TEST(a_peek_that_is_over_protects_nothing),
        TEST(events_lost_by_an_end_inside_on_ready_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

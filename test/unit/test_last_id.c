/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection/last_id.h"
#include "fake_platform.h"

#include <stdio.h>
#include <string.h>


static struct fake_platform fake;
static struct last_id last;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    last = (struct last_id){.form = 0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sse_last_id_free(&last, &fake.platform);
    fake_platform_check_no_leak(&fake);
    return 0;
}

/* An id of this size that differs from others by `first`. */
static struct sse_message *message_of(size_t size, char first)
{
    char text[SSE_ID_SIZE_MAX];
    struct sse_message *message = NULL;

    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i % 26);
    if (size)
        text[0] = first;
    assert_int_equal(sse_message_new(&message, &(struct sse_event){.id = {text, size}, .data = sse_str("x")},
                                     1, &fake.platform),
                     0);
    return message;
}

static void expect(size_t size, char first)
{
    struct sse_text id = sse_last_id_get(&last);

    assert_non_null(id.ptr);
    assert_int_equal(id.len, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(id.ptr[i], i ? (char)('a' + i % 26) : first);
}

/* When it returns, the message has been freed, unless the last id needs it. */
static void set(size_t size, char first)
{
    struct sse_message *message = message_of(size, first);

    sse_last_id_set(&last, message, &fake.platform);
    sse_message_unref(message);
    expect(size, first);
}

static void before_the_first_event_there_is_no_id(void **state)
{
    (void)state;
    assert_null(sse_last_id_get(&last).ptr);
    assert_true(sse_last_id_reserve(&last, 100, &fake.platform));
    assert_null(sse_last_id_get(&last).ptr);
    set(0, 0);
    assert_non_null(sse_last_id_get(&last).ptr);
}

static void each_size_follows_each(void **state)
{
    static const size_t sizes[] = {0,  1,   7,   LAST_ID_SHORT_MAX, LAST_ID_SHORT_MAX + 1, 28,
                                   40, 128, 255, 256,               SSE_ID_SIZE_MAX};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            set(sizes[i], 'A');
            set(sizes[j], 'B');
            sse_last_id_free(&last, &fake.platform);
            assert_int_equal(fake.blocks, 0);
        }
    }
}

static void a_short_id_needs_no_memory(void **state)
{
    struct sse_message *message = message_of(LAST_ID_SHORT_MAX, 'A');
    size_t allocations = fake.allocations;

    (void)state;
    assert_true(sse_last_id_reserve(&last, LAST_ID_SHORT_MAX, &fake.platform));
    sse_last_id_set(&last, message, &fake.platform);
    assert_int_equal(fake.allocations, allocations);
    sse_message_unref(message);
    assert_int_equal(fake.blocks, 0);
    expect(LAST_ID_SHORT_MAX, 'A');
}

/* As with ids that count up. */
static void a_longer_id_takes_one_block_for_all_that_follow(void **state)
{
    size_t allocations;

    (void)state;
    set(28, 'A');
    assert_int_equal(fake.blocks, 1);
    allocations = fake.allocations;
    for (size_t i = 0; i < 100; i++)
        set(i % 29, "ABCDE"[i % 5]);
    /* The references of the messages. */
    assert_int_equal(fake.allocations, allocations + 100);
    assert_int_equal(fake.blocks, 1);
}

static void without_memory_the_message_is_kept(void **state)
{
    struct sse_message *message = message_of(40, 'A');

    (void)state;
    set(20, 'B');
    fake_platform_fail_at(&fake, 1, true);
    assert_false(sse_last_id_reserve(&last, 40, &fake.platform));
    expect(20, 'B');
    sse_last_id_set(&last, message, &fake.platform);
    sse_message_unref(message);
    expect(40, 'A');
    assert_int_equal(fake.blocks, 1);
    /* When there is memory again, the next id releases the message. */
    fake_platform_fail_at(&fake, 0, false);
    set(40, 'C');
    assert_int_equal(fake.blocks, 1);
    set(3, 'D');
    expect(3, 'D');
}

static void room_is_made_behind_the_id_that_is_there(void **state)
{
    struct sse_message *message = message_of(200, 'B');
    size_t allocations;

    (void)state;
    set(3, 'A');
    assert_true(sse_last_id_reserve(&last, 200, &fake.platform));
    expect(3, 'A');
    allocations = fake.allocations;
    sse_last_id_set(&last, message, &fake.platform);
    assert_int_equal(fake.allocations, allocations);
    sse_message_unref(message);
    expect(200, 'B');
    assert_true(sse_last_id_reserve(&last, SSE_ID_SIZE_MAX, &fake.platform));
    expect(200, 'B');
    set(SSE_ID_SIZE_MAX, 'C');
    set(20, 'D');
}

/* Idle emitters keep no event, however long the ids and however large the events are. */
static void no_message_is_kept(void **state)
{
    static const size_t sizes[] = {3, 20, 255, 256, 257, SSE_ID_SIZE_MAX};
    static char large[100000];
    char id[SSE_ID_SIZE_MAX];

    (void)state;
    memset(large, 'x', sizeof(large));
    memset(id, 'i', sizeof(id));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct sse_event event = {.data = {large, sizeof(large)}, .id = {id, sizes[i]}};
        struct sse_message *message = NULL;

        assert_int_equal(sse_message_new(&message, &event, 1, &fake.platform), 0);
        sse_last_id_set(&last, message, &fake.platform);
        sse_message_unref(message);
        assert_int_equal(sse_last_id_get(&last).len, sizes[i]);
        assert_in_range(fake.bytes, 0, sizes[i] + 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(before_the_first_event_there_is_no_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_size_follows_each, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_short_id_needs_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_longer_id_takes_one_block_for_all_that_follow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_the_message_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(room_is_made_behind_the_id_that_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_message_is_kept, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

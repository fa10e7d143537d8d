/* SPDX-License-Identifier: MIT */
/* Long queues from which messages are dropped at any place: by key, and behind messages that must stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/queue.h"
#include "fake_platform.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGES 600
#define KEYS 500 /* the other messages have no key; each of these has a twin with the same key */
#define QUEUED_MAX 3000
#define OPERATIONS 150000
#define IOV_COUNT 16
#define LONG 40 /* from this many messages on, the keys are in a table */

static struct fake_platform fake;
static struct sse_message *messages[MESSAGES];
static struct sse_message *twins[KEYS];

static struct sse_text key_of(char *text, size_t number)
{
    return (struct sse_text){.ptr = text, .len = (size_t)snprintf(text, 32, "key %zu", number)};
}

static struct sse_message *new_message(struct sse_text key)
{
    const struct sse_event event = {.data = sse_str("x"), .key = key};
    struct sse_message *message = NULL;

    assert_int_equal(sse_message_new(&message, &event, 1, &fake.platform), 0);
    return message;
}

static int set_up(void **state)
{
    char text[32];

    (void)state;
    fake_platform_init(&fake);
    for (size_t i = 0; i < MESSAGES; i++)
        messages[i] = new_message(i < KEYS ? key_of(text, i) : (struct sse_text){.ptr = NULL});
    for (size_t i = 0; i < KEYS; i++)
        twins[i] = new_message(messages[i]->key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++)
        sse_message_unref(messages[i]);
    for (size_t i = 0; i < KEYS; i++)
        sse_message_unref(twins[i]);
    fake_platform_check_no_leak(&fake);
    return 0;
}

static size_t below(size_t limit)
{
    return (size_t)(fake.platform.random(fake.platform.user) % limit);
}

/* A plain model of the queue. */
struct model {
    struct sse_message *messages[QUEUED_MAX];
    size_t count;
    size_t pinned;
    size_t exempt;
};

static struct model model;
static struct queue queue;

static size_t droppable_from(void)
{
    return model.exempt > model.pinned ? model.exempt : model.pinned;
}

static void forget(size_t index)
{
    model.count--;
    model.exempt -= index < model.exempt;
    memmove(&model.messages[index], &model.messages[index + 1],
            (model.count - index) * sizeof(model.messages[0]));
}

static bool same_key(const struct sse_message *message, struct sse_text key)
{
    return message->key.ptr && message->key.len == key.len && !memcmp(message->key.ptr, key.ptr, key.len);
}

static void push(struct sse_message *message)
{
    if (model.count == QUEUED_MAX)
        return;
    assert_int_equal(sse_queue_push(&queue, message, &fake.platform), 0);
    model.messages[model.count++] = message;
}

static void drop_key(struct sse_text key)
{
    size_t index = droppable_from();

    while (index < model.count && !same_key(model.messages[index], key))
        index++;
    assert_int_equal(sse_queue_drop_key(&queue, key, &fake.platform), index < model.count);
    if (index < model.count)
        forget(index);
}

/* Replaces like a coalescing emitter. A repeated key may be in a separate message. */
static void coalesce(void)
{
    size_t number = below(MESSAGES);

    if (number < KEYS)
        drop_key(messages[number]->key);
    push(number < KEYS && below(2) ? twins[number] : messages[number]);
}

/* The queue has no limits. The test shortens it before it adds a message. */
static void drop_oldest(size_t count)
{
    size_t index = droppable_from(), left = model.count - model.exempt;

    if (count > model.count - index)
        return;
    queue.count_max = (uint32_t)(left - count);
    assert_int_equal(sse_queue_drop_oldest(&queue, NULL, 1, &fake.platform), count);
    queue.count_max = UINT32_MAX;
    for (size_t i = 0; i < count; i++)
        forget(index);
}

static void take(size_t count)
{
    size_t size = 0;

    queue.pinned = 0;
    model.pinned = 0;
    for (size_t i = 0; i < count && i < model.count; i++)
        size += sse_message_wire_size(model.messages[i], false);
    while (size) {
        struct sse_message *message = sse_queue_take(&queue, &size, &fake.platform);

        assert_ptr_equal(message, model.messages[0]);
        forget(0);
        sse_message_unref(message);
    }
}

static void pin(size_t count)
{
    struct iovec iov[IOV_COUNT];

    model.pinned = count < model.count ? count : model.count;
    assert_int_equal(sse_queue_gather(&queue, iov, (int)count), model.pinned);
    for (size_t i = 0; i < model.pinned; i++)
        assert_ptr_equal(iov[i].iov_base, sse_message_wire(model.messages[i], false).ptr);
    queue.pinned = (uint16_t)model.pinned;
}

static void check(void)
{
    size_t found = 0;

    assert_int_equal(queue.count, model.count);
    assert_int_equal(queue.exempt, model.exempt);
    assert_int_equal(sse_queue_events(&queue), model.count);
    for (uint32_t i = 0; i < sse_queue_places(&queue); i++)
        if (sse_queue_at(&queue, i))
            assert_ptr_equal(sse_queue_at(&queue, i), model.messages[found++]);
    assert_int_equal(found, model.count);
    /* At most three of four places are empty, unless the queue is short. */
    assert_in_range(sse_queue_capacity(&queue), 1, 64 + 8 * QUEUED_MAX);
}

/* `length`: the approximate length. */
static void operate(size_t length)
{
    size_t chosen = below(1000);

    if (chosen < 700) {
        coalesce();
    } else if (chosen < 800) {
        if (model.count > length)
            take(1 + below(model.count - length));
    } else if (chosen < 860) {
        pin(1 + below(IOV_COUNT));
    } else if (chosen < 900) {
        take(below(3));
    } else if (chosen < 990) {
        drop_oldest(below(4));
    } else if (chosen < 992) {
        sse_queue_exempt_all(&queue);
        model.exempt = model.count;
    } else if (chosen < 995) {
        assert_int_equal(sse_queue_reserve(&queue, below(200), &fake.platform), 0);
    } else {
        /* Without memory for a table, keys are searched one by one. */
        fake_platform_fail_at(&fake, 1, true);
        drop_key(messages[below(KEYS)]->key);
        fake_platform_fail_at(&fake, 0, false);
    }
}

static void random_operations_match_a_model(void **state)
{
    static const size_t lengths[] = {20, 60, 500, 2500};
    size_t most = 0;

    (void)state;
    sse_queue_init(&queue, false, SIZE_MAX, UINT32_MAX);
    model = (struct model){.count = 0};
    for (size_t i = 0; i < OPERATIONS; i++) {
        operate(lengths[i / 2000 % COUNT(lengths)]);
        most = model.count > most ? model.count : most;
        if (i % 16 == 0)
            check();
    }
    assert_true(most > 600);
    check();
    sse_queue_clear(&queue, &fake.platform);
    assert_int_equal(atomic_load(&fake.blocks), MESSAGES + KEYS);
}

static void begin(size_t count)
{
    sse_queue_init(&queue, false, SIZE_MAX, UINT32_MAX);
    model = (struct model){.count = 0};
    for (size_t i = 0; i < count; i++)
        push(messages[i]);
}

/* A long queue has a table of its keys only if there is memory for it. */
static void without_a_table_keys_are_found_all_the_same(void **state)
{
    size_t blocks;

    (void)state;
    begin(LONG);
    blocks = atomic_load(&fake.blocks);
    fake_platform_fail_at(&fake, 1, true);
    drop_key(messages[LONG / 2]->key);
    drop_key(messages[LONG + 1]->key);
    fake_platform_fail_at(&fake, 0, false);
    assert_int_equal(atomic_load(&fake.blocks), blocks);
    drop_key(messages[LONG - 1]->key);
    drop_key(messages[0]->key);
    assert_int_equal(atomic_load(&fake.blocks), blocks + 1);
    check();
    sse_queue_clear(&queue, &fake.platform);
}

/* Peeked messages are moved together, whether or not the table has room for the new places. */
static void the_front_moves_while_keys_come_again(void **state)
{
    (void)state;
    begin(LONG);
    for (size_t i = 0; i < 5000; i++) {
        struct sse_message *message = messages[i * 7 % LONG];

        drop_key(message->key);
        push(message);
        if (i % 5 == 0)
            pin(IOV_COUNT);
        take(0);
        check();
    }
    sse_queue_clear(&queue, &fake.platform);
}

/* Endless events, of few keys or of new ones. The memory is in proportion to what is queued. */
static void the_memory_is_in_proportion_to_the_queue(void **state)
{
    const size_t blocks = MESSAGES + KEYS, bytes = atomic_load(&fake.bytes);
    char text[32];

    (void)state;
    sse_queue_init(&queue, false, SIZE_MAX, UINT32_MAX);
    for (size_t i = 0; i < 100000; i++) {
        struct sse_message *message = i % 2 ? messages[i % 100] : new_message(key_of(text, i + 1000));

        (void)sse_queue_drop_key(&queue, message->key, &fake.platform);
        assert_int_equal(sse_queue_push(&queue, message, &fake.platform), 0);
        if (i % 2 == 0)
            sse_message_unref(message);
        if (queue.count > 300)
            sse_queue_drop_first(&queue, &fake.platform);
        /* A pointer and two entries for each place. There are up to four places for each message. */
        if (queue.ringed)
            assert_in_range(sse_queue_capacity(&queue), 16, 1024);
        assert_in_range(atomic_load(&fake.blocks), blocks, blocks + 300 + 2);
    }
    sse_queue_clear(&queue, &fake.platform);
    assert_int_equal(atomic_load(&fake.bytes), bytes);
}

/* One event stays at the front, and another is replaced without end. A full ring is compacted, not doubled. */
static void replacing_needs_no_larger_ring(void **state)
{
    (void)state;
    sse_queue_init(&queue, false, SIZE_MAX, UINT32_MAX);
    assert_int_equal(sse_queue_push(&queue, messages[0], &fake.platform), 0);
    for (size_t i = 0; i < 10000; i++) {
        (void)sse_queue_drop_key(&queue, messages[1]->key, &fake.platform);
        assert_int_equal(sse_queue_push(&queue, messages[1], &fake.platform), 0);
        assert_int_equal(queue.count, 2);
        assert_int_equal(sse_queue_capacity(&queue), 16);
    }
    sse_queue_clear(&queue, &fake.platform);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_table_keys_are_found_all_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_front_moves_while_keys_come_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_memory_is_in_proportion_to_the_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacing_needs_no_larger_ring, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/history.h"
#include "fake_platform.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POOL_SIZE 6
#define KEPT_MAX 700 /* several segments */
#define OPERATION_COUNT 30000
#define MANY ((size_t)1 << 17)

static struct fake_platform fake;
static struct sse_message *pool[POOL_SIZE];

static struct sse_message *new_message(size_t letters, struct sse_text key)
{
    struct sse_message *message = NULL;
    char *text = calloc(1, letters + 1);

    assert_non_null(text);
    memset(text, 'x', letters);
    assert_int_equal(sse_message_new(&message, &(struct sse_event){.data = {text, letters}, .key = key}, 1,
                                     &fake.platform),
                     0);
    free(text);
    return message;
}

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    for (size_t i = 0; i < POOL_SIZE; i++)
        pool[i] = new_message(i * i * 10, (struct sse_text){.ptr = NULL});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < POOL_SIZE; i++)
        sse_message_unref(pool[i]);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static uint64_t next_random(void)
{
    return fake.platform.random(fake.platform.user);
}

static void clear(struct history *history)
{
    while (history->count)
        sse_history_drop_first(history, &fake.platform);
}

/* A plain model of the history. */
struct model {
    struct history_entry entries[KEPT_MAX];
    size_t count;
    uint64_t lost;
    uint64_t sequence;
    unsigned references[POOL_SIZE];
};

static size_t model_after(const struct model *model, uint64_t sequence)
{
    size_t position = 0;

    while (position < model->count && model->entries[position].sequence <= sequence)
        position++;
    return position;
}

static void check_places(const struct history *history, const struct model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        uint64_t sequence = model->entries[i].sequence;

        assert_int_equal(sse_history_after(history, sequence - 1), model_after(model, sequence - 1));
        assert_int_equal(sse_history_after(history, sequence), i + 1);
        assert_int_equal(sse_history_after(history, sequence + 1), model_after(model, sequence + 1));
    }
    assert_int_equal(sse_history_after(history, 0), 0);
    assert_int_equal(sse_history_after(history, UINT64_MAX), model->count);
}

static void check(const struct history *history, const struct model *model)
{
    size_t bytes = 0;

    assert_int_equal(history->count, model->count);
    assert_int_equal(history->lost, model->lost);
    for (size_t i = 0; i < model->count; i++) {
        const struct history_entry *entry = sse_history_at(history, i);

        assert_int_equal(entry->sequence, model->entries[i].sequence);
        assert_int_equal(entry->time, model->entries[i].time);
        assert_ptr_equal(entry->message, model->entries[i].message);
        assert_int_equal(entry->named, model->entries[i].named);
        bytes += sse_history_cost(entry);
    }
    assert_int_equal(history->bytes, bytes);
    for (size_t i = 0; i < POOL_SIZE; i++)
        assert_int_equal(atomic_load(&pool[i]->refs), 1 + model->references[i]);
    assert_in_range(atomic_load(&fake.blocks), POOL_SIZE + (model->count > 0),
                    POOL_SIZE + (model->count ? model->count / HISTORY_SEGMENT + 4 : 0));
}

static void push(struct history *history, struct model *model)
{
    size_t which = (size_t)(next_random() % POOL_SIZE);
    struct history_entry entry = {
        .sequence = model->sequence += 1 + next_random() % 3,
        .time = next_random(),
        .message = pool[which],
        .named = next_random() % 2,
    };

    assert_true(sse_history_reserve(history, &fake.platform));
    sse_history_push(history, entry);
    model->entries[model->count++] = entry;
    model->references[which]++;
}

static void drop(struct history *history, struct model *model)
{
    sse_history_drop_first(history, &fake.platform);
    model->lost = model->entries[0].sequence;
    for (size_t i = 0; i < POOL_SIZE; i++)
        model->references[i] -= pool[i] == model->entries[0].message;
    model->count--;
    memmove(&model->entries[0], &model->entries[1], model->count * sizeof(model->entries[0]));
}

/* The share of pushes changes slowly, so that the ring fills, wraps, empties and is freed many times. */
static void random_operations_match_a_model(void **state)
{
    struct history history = {.ring = NULL};
    struct model model = {.count = 0};
    size_t emptied = 0, filled = 0;

    (void)state;
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        bool growing = i / 2000 % 2 == 0;
        bool pushes = next_random() % 10 < (growing ? 7U : 3U);

        if (pushes && model.count < KEPT_MAX)
            push(&history, &model);
        else if (!pushes && model.count)
            drop(&history, &model);
        emptied += !model.count;
        filled += model.count == KEPT_MAX;
        if (i % 8 == 0 || model.count < 10)
            check(&history, &model);
        if (i % 256 == 0)
            check_places(&history, &model);
    }
    assert_true(emptied > 10);
    assert_true(filled > 10);
    clear(&history);
}

/* If only the history has a reference to a message, the message lives as long as its entry. */
static void the_history_holds_a_reference(void **state)
{
    struct history history = {.ring = NULL};
    struct sse_message *message = new_message(3, (struct sse_text){.ptr = NULL});

    (void)state;
    assert_true(sse_history_reserve(&history, &fake.platform));
    sse_history_push(&history, (struct history_entry){.sequence = 7, .message = message});
    sse_message_unref(message);
    assert_memory_equal(sse_message_bytes(sse_history_at(&history, 0)->message).ptr, "data: xxx\n\n", 11);
    sse_history_drop_first(&history, &fake.platform);
    assert_int_equal(history.lost, 7);
    assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE);
}

/* The limit on bytes limits memory only if every part of a message counts. */
static void the_cost_covers_the_memory(void **state)
{
    static const char key[SSE_KEY_SIZE_MAX] = "key";
    const size_t letters[] = {0, 1, 1000};

    (void)state;
    for (size_t i = 0; i < COUNT(letters); i++) {
        for (size_t key_size = 0; key_size <= sizeof(key); key_size += sizeof(key)) {
            size_t before = atomic_load(&fake.bytes), taken;
            struct history_entry entry = {
                .message =
                    new_message(letters[i], (struct sse_text){.ptr = key_size ? key : NULL, .len = key_size}),
                .extra = 7};

            taken = atomic_load(&fake.bytes) - before + sizeof(entry) + 7;
            assert_in_range(sse_history_cost(&entry), taken - 16, taken);
            sse_message_unref(entry.message);
        }
    }
}

static void a_failed_reserve_changes_nothing(void **state)
{
    struct history history = {.ring = NULL};
    struct model model = {.count = 0};
    size_t refused = 0;

    (void)state;
    while (model.count < KEPT_MAX) {
        fake_platform_fail_at(&fake, 1, false);
        if (!sse_history_reserve(&history, &fake.platform))
            refused++;
        fake_platform_fail_at(&fake, 0, false);
        check(&history, &model);
        push(&history, &model);
        if (model.sequence % 5 == 0)
            drop(&history, &model);
        check(&history, &model);
    }
    check_places(&history, &model);
    /* Allocates six rings (one of them twice), a list twice, and its segments. */
    assert_in_range(refused, 8, 20);
    clear(&history);
}

/* The second segment needs a list as well. If one allocation fails, neither exists. */
static void a_list_begins_whole_or_not_at_all(void **state)
{
    struct history history = {.ring = NULL};
    struct model model = {.count = 0};

    (void)state;
    while (model.count < HISTORY_SEGMENT)
        push(&history, &model);
    for (size_t nth = 1; nth <= 2; nth++) {
        size_t blocks = atomic_load(&fake.blocks);

        fake_platform_fail_at(&fake, nth, false);
        assert_false(sse_history_reserve(&history, &fake.platform));
        fake_platform_fail_at(&fake, 0, false);
        assert_int_equal(atomic_load(&fake.blocks), blocks);
        check(&history, &model);
    }
    push(&history, &model);
    check(&history, &model);
    clear(&history);
}

/* Each segment needs memory, and some also need a longer list. The first allocation of each fails. */
static void a_segment_without_memory_is_refused(void **state)
{
    struct history history = {.ring = NULL};

    (void)state;
    for (uint64_t i = 1; i <= MANY; i++) {
        if (i % HISTORY_SEGMENT == 1) {
            size_t bytes = atomic_load(&fake.bytes);

            fake_platform_fail_at(&fake, 1, false);
            assert_false(sse_history_reserve(&history, &fake.platform));
            fake_platform_fail_at(&fake, 0, false);
            assert_int_equal(atomic_load(&fake.bytes), bytes);
        }
        assert_true(sse_history_reserve(&history, &fake.platform));
        sse_history_push(&history, (struct history_entry){.sequence = i, .message = pool[0]});
    }
    clear(&history);
}

/* Reserved room needs no more memory, and neither does a second reserve. */
static void a_reserve_makes_the_push_certain(void **state)
{
    struct history history = {.ring = NULL};
    size_t before;

    (void)state;
    for (uint64_t i = 1; i <= KEPT_MAX; i++) {
        assert_true(sse_history_reserve(&history, &fake.platform));
        before = atomic_load(&fake.allocations);
        assert_true(sse_history_reserve(&history, &fake.platform));
        sse_history_push(&history, (struct history_entry){.sequence = i, .message = pool[0]});
        assert_int_equal(atomic_load(&fake.allocations), before);
    }
    clear(&history);
}

/* One more entry needs memory for at most one segment, or for the list of segments, however long the history is. */
static void it_grows_in_segments(void **state)
{
    struct history history = {.ring = NULL};
    size_t most = 0;

    (void)state;
    for (uint64_t i = 1; i <= MANY; i++) {
        size_t before = atomic_load(&fake.bytes), taken;

        assert_true(sse_history_reserve(&history, &fake.platform));
        taken = atomic_load(&fake.bytes) - before;
        most = taken > most ? taken : most;
        sse_history_push(&history, (struct history_entry){.sequence = i, .message = pool[0]});
    }
    assert_in_range(most, 1,
                    HISTORY_SEGMENT * sizeof(struct history_entry) +
                        2 * MANY / HISTORY_SEGMENT * sizeof(void *));
    assert_in_range(atomic_load(&fake.bytes), MANY * sizeof(struct history_entry),
                    (MANY + MANY / 16) * sizeof(struct history_entry));
    /* The memory is freed when the history becomes shorter. */
    while (history.count > 1)
        sse_history_drop_first(&history, &fake.platform);
    assert_in_range(atomic_load(&fake.blocks), POOL_SIZE + 1, POOL_SIZE + 4);
    clear(&history);
    assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE);
}

/* The ring of a reserve without a push is freed. */
static void an_empty_ring_is_trimmed(void **state)
{
    struct history history = {.ring = NULL};

    (void)state;
    assert_true(sse_history_reserve(&history, &fake.platform));
    sse_history_trim(&history, &fake.platform);
    assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE);
    sse_history_trim(&history, &fake.platform);
    assert_true(sse_history_reserve(&history, &fake.platform));
    sse_history_push(&history, (struct history_entry){.sequence = 1, .message = pool[0]});
    sse_history_trim(&history, &fake.platform);
    assert_int_equal(sse_history_at(&history, 0)->sequence, 1);
    sse_history_drop_first(&history, &fake.platform);
    assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE);
}

/* A search that visited every entry would not finish in reasonable time. */
static void a_place_is_found_in_few_steps(void **state)
{
    struct history history = {.ring = NULL};

    (void)state;
    for (uint64_t i = 1; i <= MANY; i++) {
        assert_true(sse_history_reserve(&history, &fake.platform));
        sse_history_push(&history, (struct history_entry){.sequence = 2 * i, .message = pool[i % POOL_SIZE]});
    }
    for (size_t round = 0; round < 8; round++) {
        for (size_t i = 0; i < MANY; i++) {
            if (sse_history_after(&history, 2 * i) != i || sse_history_after(&history, 2 * i + 1) != i)
                fail_msg("a wrong place for %zu", i);
        }
    }
    clear(&history);
    assert_int_equal(history.lost, 2 * MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_history_holds_a_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cost_covers_the_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_reserve_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_list_begins_whole_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_segment_without_memory_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reserve_makes_the_push_certain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_grows_in_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_ring_is_trimmed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_is_found_in_few_steps, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

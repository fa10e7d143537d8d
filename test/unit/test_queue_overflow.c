/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/queue.h"
#include "fake_platform.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POOL_SIZE 14
#define QUEUED_MAX 64
#define OPERATION_COUNT 60000
#define NO_LIMIT SIZE_MAX

static struct fake_platform fake;
static struct sse_message *pool[POOL_SIZE];
static const char *const keys[] = {"a", "b", "ab", ""};

static struct sse_message *new_message(size_t letters, const char *key)
{
    struct sse_message *message = NULL;
    char text[300];

    memset(text, 'x', sizeof(text));
    assert_int_equal(sse_message_new(&message,
                                     &(struct sse_event){.data = {text, letters}, .key = sse_str(key)}, 1,
                                     &fake.platform),
                     0);
    return message;
}

static struct sse_message *new_batch(void)
{
    const struct sse_event events[] = {
        {.data = sse_str("1")}, {.data = sse_str("2")}, {.data = sse_str("3")}};
    struct sse_message *message = NULL;

    assert_int_equal(sse_message_new(&message, events, COUNT(events), &fake.platform), 0);
    return message;
}

/* With and without keys, and messages that may never be dropped: head, retry, heartbeat, last chunk. */
static int set_up(void **state)
{
    size_t count = 0;

    (void)state;
    fake_platform_init(&fake);
    for (size_t i = 0; i < COUNT(keys); i++)
        pool[count++] = new_message(7 * i, keys[i]);
    pool[count++] = new_message(50, keys[0]);
    for (size_t i = 0; i < 4; i++)
        pool[count++] = new_message(30 * i, NULL);
    pool[count++] = new_batch();
    assert_int_equal(sse_message_new_head(&pool[count++], NULL, &fake.platform), 0);
    pool[count++] = sse_message_new_retry(5, &fake.platform);
    pool[count++] = sse_message_heartbeat();
    pool[count++] = sse_message_last_chunk();
    assert_int_equal(count, POOL_SIZE);
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

static size_t below(size_t limit)
{
    return (size_t)(fake.platform.random(fake.platform.user) % limit);
}

static size_t wire_size(const struct queue *queue, const struct sse_message *message)
{
    return sse_message_wire(message, queue->chunked).len;
}

/* A plain model of the queue. */
struct model {
    struct sse_message *messages[QUEUED_MAX];
    size_t count;
    size_t taken;
    size_t pinned;
    size_t exempt;
};

static size_t model_bytes(const struct queue *queue, const struct model *model)
{
    size_t size = 0;

    for (size_t i = 0; i < model->count; i++)
        size += wire_size(queue, model->messages[i]);
    return size - model->taken;
}

/* The bytes that count against the limits. */
static size_t model_counted_bytes(const struct queue *queue, const struct model *model)
{
    size_t size = 0;

    for (size_t i = model->exempt; i < model->count; i++)
        size += wire_size(queue, model->messages[i]);
    return model->exempt ? size : size - model->taken;
}

static int model_admits(const struct queue *queue, const struct model *model,
                        const struct sse_message *message, unsigned factor)
{
    size_t size = wire_size(queue, message);

    if (size > queue->bytes_max)
        return -EMSGSIZE;
    if (model->count - model->exempt + 1 > (uint64_t)queue->count_max * factor ||
        model_counted_bytes(queue, model) + size > (uint64_t)queue->bytes_max * factor)
        return -ENOBUFS;
    return 0;
}

static bool model_is_over(const struct queue *queue, const struct model *model)
{
    return model->count - model->exempt > queue->count_max ||
           model_counted_bytes(queue, model) > queue->bytes_max;
}

/* Without a message: returns whether the queue is within its limits. */
static bool model_has_room(const struct queue *queue, const struct model *model,
                           const struct sse_message *message, unsigned factor)
{
    return message ? model_admits(queue, model, message, factor) != -ENOBUFS : !model_is_over(queue, model);
}

static bool may_drop(const struct model *model, size_t index)
{
    return index >= model->pinned && !(index == 0 && model->taken) && model->messages[index]->events > 0;
}

static uint64_t model_remove(struct model *model, size_t index)
{
    uint64_t events = model->messages[index]->events;

    model->count--;
    model->exempt -= index < model->exempt;
    memmove(&model->messages[index], &model->messages[index + 1],
            (model->count - index) * sizeof(model->messages[0]));
    return events;
}

/* Exempt messages are not dropped to make room, because that would make none. */
static size_t first_droppable(const struct model *model)
{
    size_t index = model->exempt;

    while (index < model->count && !may_drop(model, index))
        index++;
    return index;
}

/* Whether the messages before the first droppable one leave no room, even if all others are dropped. */
static bool is_in_vain(const struct queue *queue, const struct model *model,
                       const struct sse_message *message, unsigned factor)
{
    struct model rest = *model;

    rest.count = first_droppable(model);
    return !model_has_room(queue, &rest, message, factor);
}

static uint64_t model_drop_oldest(const struct queue *queue, struct model *model,
                                  const struct sse_message *message, unsigned factor)
{
    uint64_t events = 0;

    if (is_in_vain(queue, model, message, factor))
        return 0;
    while (!model_has_room(queue, model, message, factor) && first_droppable(model) < model->count)
        events += model_remove(model, first_droppable(model));
    return events;
}

static uint64_t model_drop_newest(const struct queue *queue, struct model *model)
{
    uint64_t events = 0;

    for (size_t i = model->count; i-- > model->exempt && model_is_over(queue, model);)
        if (may_drop(model, i))
            events += model_remove(model, i);
    return events;
}

static uint64_t model_drop_key(struct model *model, struct sse_text key)
{
    for (size_t i = model->exempt; i < model->count; i++) {
        struct sse_text other = model->messages[i]->key;

        if (may_drop(model, i) && other.ptr && other.len == key.len && !memcmp(other.ptr, key.ptr, key.len))
            return model_remove(model, i);
    }
    return 0;
}

/* Peeks at the places, some of which may be empty, and does not change them. */
static void check(const struct queue *queue, const struct model *model)
{
    uint64_t events = 0;
    size_t found = 0;

    assert_int_equal(queue->count, model->count);
    assert_int_equal(queue->bytes, model_bytes(queue, model));
    assert_int_equal(queue->taken, model->taken);
    for (uint32_t i = 0; i < sse_queue_places(queue); i++) {
        if (!sse_queue_at(queue, i)) {
            assert_true(i > 0 && i >= model->pinned && i >= model->exempt);
            continue;
        }
        assert_in_range(found + 1, 1, model->count);
        assert_ptr_equal(sse_queue_at(queue, i), model->messages[found]);
        events += model->messages[found++]->events;
    }
    assert_int_equal(found, model->count);
    assert_int_equal(sse_queue_events(queue), events);
    assert_int_equal(queue->exempt, model->exempt);
    assert_int_equal(queue->bytes - sse_queue_exempt_bytes(queue), model_counted_bytes(queue, model));
    assert_int_equal(sse_queue_is_over(queue), model_is_over(queue, model));
    for (unsigned factor = 1; factor <= QUEUE_UNTRIED_FACTOR; factor++)
        for (size_t i = 0; i < POOL_SIZE; i++)
            assert_int_equal(sse_queue_admits(queue, pool[i], factor),
                             model_admits(queue, model, pool[i], factor));
}

/* A queue releases every reference that it took. */
static void check_references(const struct model *model)
{
    for (size_t i = 0; i < POOL_SIZE; i++) {
        unsigned references = 1;

        for (size_t j = 0; j < model->count; j++)
            references += model->messages[j] == pool[i];
        if (!pool[i]->borrowed)
            assert_int_equal(atomic_load(&pool[i]->refs), references);
    }
}

static void push(struct queue *queue, struct model *model, struct sse_message *message)
{
    if (model->count == QUEUED_MAX)
        return;
    assert_int_equal(sse_queue_push(queue, message, &fake.platform), 0);
    model->messages[model->count++] = message;
}

/* A write or a consume ends the peek at these messages. */
static void take(struct queue *queue, struct model *model, size_t size)
{
    struct sse_message *message;

    queue->pinned = 0;
    model->pinned = 0;
    while ((message = sse_queue_take(queue, &size, &fake.platform))) {
        assert_ptr_equal(message, model->messages[0]);
        model->taken = 0;
        (void)model_remove(model, 0);
        sse_message_unref(message);
    }
    model->taken = queue->taken;
}

/* Peeks like a write or a peek of the emitter. */
static void pin(struct queue *queue, struct model *model, size_t count)
{
    struct iovec iov[QUEUED_MAX];

    model->pinned = count < model->count ? count : model->count;
    assert_int_equal(sse_queue_gather(queue, iov, (int)count), model->pinned);
    for (size_t i = 0; i < model->pinned; i++) {
        struct sse_text wire = sse_message_wire(model->messages[i], queue->chunked);

        assert_ptr_equal(iov[i].iov_base, wire.ptr + (i ? 0 : model->taken));
        assert_int_equal(iov[i].iov_len, wire.len - (i ? 0 : model->taken));
    }
    queue->pinned = (uint16_t)model->pinned;
}

static void drop_oldest(struct queue *queue, struct model *model, struct sse_message *message,
                        unsigned factor)
{
    uint64_t expected = model_drop_oldest(queue, model, message, factor);

    assert_int_equal(sse_queue_drop_oldest(queue, message, factor, &fake.platform), expected);
}

static void drop_newest(struct queue *queue, struct model *model)
{
    uint64_t expected = model_drop_newest(queue, model);

    assert_int_equal(sse_queue_drop_newest(queue, &fake.platform), expected);
}

static void exempt_all(struct queue *queue, struct model *model)
{
    sse_queue_exempt_all(queue);
    model->exempt = model->count;
}

static void drop_key(struct queue *queue, struct model *model, const char *key)
{
    uint64_t expected = model_drop_key(model, sse_str(key));

    assert_int_equal(sse_queue_drop_key(queue, sse_str(key), &fake.platform), expected);
}

/* Reserved room can be used even if no memory is left. */
static void reserve(struct queue *queue, struct model *model, size_t more)
{
    if (model->count + more > QUEUED_MAX)
        return;
    assert_int_equal(sse_queue_reserve(queue, more, &fake.platform), 0);
    fake_platform_fail_at(&fake, 1, true);
    for (size_t i = 0; i < more; i++)
        push(queue, model, pool[below(POOL_SIZE)]);
    fake_platform_fail_at(&fake, 0, false);
}

static void operate(struct queue *queue, struct model *model)
{
    struct sse_message *message = pool[below(POOL_SIZE)];
    unsigned factor = 1 + (unsigned)below(QUEUE_UNTRIED_FACTOR);

    switch (below(12)) {
    case 0:
        take(queue, model, below(60));
        break;
    case 1:
        pin(queue, model, below(5));
        break;
    case 2:
        drop_key(queue, model, keys[below(COUNT(keys))]);
        break;
    case 3:
        reserve(queue, model, below(12));
        break;
    case 4:
        push(queue, model, message);
        break;
    case 5:
        if (!below(4))
            exempt_all(queue, model);
        break;
    case 6:
        drop_newest(queue, model);
        break;
    case 7:
        drop_oldest(queue, model, NULL, 1);
        break;
    default:
        drop_oldest(queue, model, message, factor);
        if (!sse_queue_admits(queue, message, factor))
            push(queue, model, message);
        break;
    }
}

static void random_operations_match_a_model(void **state)
{
    const size_t bytes_max[] = {NO_LIMIT, 400, 150, 40};
    const uint32_t count_max[] = {UINT32_MAX, 20, 6, 1};
    size_t blocks = POOL_SIZE - 2;

    (void)state;
    for (size_t round = 0; round < 32; round++) {
        struct queue queue;
        struct model model = {.count = 0};

        sse_queue_init(&queue, round % 2, bytes_max[round / 2 % 4], count_max[round / 8 % 4]);
        for (size_t i = 0; i < OPERATION_COUNT / 32; i++) {
            operate(&queue, &model);
            check(&queue, &model);
            check_references(&model);
            if (!queue.count)
                assert_int_equal(atomic_load(&fake.blocks), blocks);
        }
        sse_queue_clear(&queue, &fake.platform);
        assert_int_equal(atomic_load(&fake.blocks), blocks);
    }
}

static void expect_order(struct queue *queue, const size_t *which, size_t count)
{
    struct iovec iov[QUEUED_MAX];

    assert_int_equal(sse_queue_gather(queue, iov, QUEUED_MAX), (int)count);
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(iov[i].iov_base, sse_message_wire(pool[which[i]], queue->chunked).ptr);
}

/* Drops each position in turn, from a full ring that starts at every place. The numbers of the places wrap around
 * as well. */
static void every_place_of_every_ring_can_be_dropped(void **state)
{
    enum { SIZE = 16 };

    (void)state;
    for (uint32_t start = UINT32_MAX - SIZE - 3; start != SIZE; start++) {
        for (size_t place = 0; place < SIZE; place++) {
            size_t order[SIZE], count = 0;
            struct queue queue;

            sse_queue_init(&queue, false, NO_LIMIT, UINT32_MAX);
            assert_int_equal(sse_queue_reserve(&queue, SIZE, &fake.platform), 0);
            queue.ring->first = start;
            queue.ring->empty_begin = start;
            queue.ring->empty_end = start;
            for (size_t i = 0; i < SIZE; i++) {
                order[count] = i == place ? 2 : 5 + i % 4;
                assert_int_equal(sse_queue_push(&queue, pool[order[count]], &fake.platform), 0);
                count += i != place;
            }
            assert_int_equal(sse_queue_drop_key(&queue, sse_str("ab"), &fake.platform), 1);
            expect_order(&queue, order, SIZE - 1);
            assert_int_equal(sse_queue_push(&queue, pool[2], &fake.platform), 0);
            order[SIZE - 1] = 2;
            expect_order(&queue, order, SIZE);
            sse_queue_clear(&queue, &fake.platform);
        }
    }
}

/* As many as needed, and not one more. */
static void no_more_is_dropped_than_needed(void **state)
{
    struct queue queue;
    size_t size = wire_size(&(struct queue){.chunked = true}, pool[6]);

    (void)state;
    sse_queue_init(&queue, true, 4 * size, UINT32_MAX);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(sse_queue_push(&queue, pool[6], &fake.platform), 0);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[5], 1, &fake.platform), 1);
    assert_int_equal(queue.count, 3);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[6], 1, &fake.platform), 0);
    assert_int_equal(sse_queue_push(&queue, pool[6], &fake.platform), 0);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[7], 1, &fake.platform), 2);
    assert_int_equal(queue.count, 2);
    sse_queue_clear(&queue, &fake.platform);
}

/* A batch is one message and several events. */
static void a_batch_counts_all_its_events(void **state)
{
    struct queue queue;

    (void)state;
    sse_queue_init(&queue, false, NO_LIMIT, 2);
    assert_int_equal(sse_queue_push(&queue, pool[9], &fake.platform), 0);
    assert_int_equal(sse_queue_push(&queue, pool[9], &fake.platform), 0);
    assert_int_equal(sse_queue_events(&queue), 6);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[5], 1, &fake.platform), 3);
    assert_int_equal(sse_queue_events(&queue), 3);
    sse_queue_clear(&queue, &fake.platform);
}

/* Messages that would not make enough room are not dropped. */
static void nothing_is_dropped_if_that_makes_no_room(void **state)
{
    struct queue queue;
    size_t part = 1;
    size_t large = wire_size(&(struct queue){.chunked = false}, pool[8]);

    (void)state;
    sse_queue_init(&queue, false, large + 20, UINT32_MAX);
    assert_int_equal(sse_queue_push(&queue, pool[8], &fake.platform), 0);
    assert_null(sse_queue_take(&queue, &part, &fake.platform));
    assert_int_equal(sse_queue_push(&queue, pool[5], &fake.platform), 0);
    assert_int_equal(sse_queue_push(&queue, pool[5], &fake.platform), 0);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[6], 1, &fake.platform), 0);
    assert_int_equal(queue.count, 3);
    assert_int_equal(sse_queue_admits(&queue, pool[6], 1), -ENOBUFS);
    sse_queue_clear(&queue, &fake.platform);

    sse_queue_init(&queue, false, large, UINT32_MAX);
    assert_int_equal(sse_queue_push(&queue, pool[5], &fake.platform), 0);
    queue.bytes_max = (uint32_t)large - 1;
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[8], 1, &fake.platform), 0);
    assert_int_equal(queue.count, 1);
    sse_queue_clear(&queue, &fake.platform);
}

/* A queue that nobody has tried to write may be four times as long. After that it accepts nothing until it is
 * shorter again. */
static void a_queue_beyond_its_limits_is_only_full(void **state)
{
    struct queue queue;

    (void)state;
    sse_queue_init(&queue, false, 60, 3);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(sse_queue_push(&queue, pool[6], &fake.platform), 0);
    assert_int_equal(sse_queue_admits(&queue, pool[5], 1), -ENOBUFS);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[5], 1, &fake.platform), 39);
    assert_int_equal(sse_queue_admits(&queue, pool[5], 1), 0);
    sse_queue_clear(&queue, &fake.platform);
}

/* Applies the limit after a try: drops as few as necessary, from either end, and never a partly written message. */
static void a_queue_is_cut_to_its_limits_from_either_end(void **state)
{
    (void)state;
    for (int newest = 0; newest < 2; newest++) {
        struct queue queue;
        size_t part = 1;
        const size_t oldest_left[] = {8, 7, 9}, newest_left[] = {8, 5, 6};

        sse_queue_init(&queue, false, NO_LIMIT, 3);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(sse_queue_push(&queue, pool[i ? 4 + i : 8], &fake.platform), 0);
        assert_int_equal(sse_queue_push(&queue, pool[9], &fake.platform), 0);
        assert_null(sse_queue_take(&queue, &part, &fake.platform));
        if (newest) {
            /* The batch and one event. */
            assert_int_equal(sse_queue_drop_newest(&queue, &fake.platform), 4);
            assert_int_equal(sse_queue_drop_newest(&queue, &fake.platform), 0);
        } else {
            assert_int_equal(sse_queue_drop_oldest(&queue, NULL, 1, &fake.platform), 2);
            assert_int_equal(sse_queue_drop_oldest(&queue, NULL, 1, &fake.platform), 0);
        }
        assert_int_equal(queue.count, 3);
        sse_queue_exempt_all(&queue);
        for (uint32_t i = 0; i < 3; i++)
            assert_ptr_equal(sse_queue_at(&queue, i), pool[newest ? newest_left[i] : oldest_left[i]]);
        sse_queue_clear(&queue, &fake.platform);
    }
}

/* Exempt messages make no room, and a newer event with their key does not replace them. */
static void exempt_messages_are_not_dropped(void **state)
{
    const size_t left[] = {0, 1, 2, 3, 4, 6};
    struct queue queue;

    (void)state;
    sse_queue_init(&queue, false, NO_LIMIT, 1);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(sse_queue_push(&queue, pool[i], &fake.platform), 0);
    sse_queue_exempt_all(&queue);
    assert_int_equal(sse_queue_drop_oldest(&queue, NULL, 1, &fake.platform), 0);
    assert_int_equal(sse_queue_drop_newest(&queue, &fake.platform), 0);
    assert_int_equal(sse_queue_push(&queue, pool[5], &fake.platform), 0);
    assert_int_equal(sse_queue_drop_oldest(&queue, pool[6], 1, &fake.platform), 1);
    assert_int_equal(queue.count, 5);
    assert_int_equal(sse_queue_push(&queue, pool[6], &fake.platform), 0);
    assert_int_equal(sse_queue_push(&queue, pool[7], &fake.platform), 0);
    assert_int_equal(sse_queue_drop_newest(&queue, &fake.platform), 1);
    assert_int_equal(sse_queue_drop_key(&queue, sse_str(keys[1]), &fake.platform), 0);
    expect_order(&queue, left, COUNT(left));
    assert_int_equal(queue.count, 6);
    assert_int_equal(queue.exempt, 5);
    sse_queue_clear(&queue, &fake.platform);
}

/* The smallest number that does not fit into 32 bits, or SIZE_MAX where a size_t has only 32 bits. */
static size_t absurd(void)
{
    return SIZE_MAX == UINT32_MAX ? SIZE_MAX : (size_t)UINT32_MAX + 1;
}

static void a_failed_reserve_changes_nothing(void **state)
{
    const size_t more[] = {3, 8, 9, 100, absurd()};

    (void)state;
    for (size_t filled = 0; filled <= 1; filled++) {
        for (size_t i = 0; i < COUNT(more); i++) {
            struct queue queue;
            struct model model = {.count = 0};

            sse_queue_init(&queue, false, NO_LIMIT, UINT32_MAX);
            for (size_t j = 0; j < filled; j++)
                push(&queue, &model, pool[j]);
            fake_platform_fail_at(&fake, 1, true);
            assert_int_equal(sse_queue_reserve(&queue, more[i], &fake.platform), -ENOMEM);
            fake_platform_fail_at(&fake, 0, false);
            check(&queue, &model);
            assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE - 2);
            sse_queue_clear(&queue, &fake.platform);
        }
    }
}

/* A number that does not fit into 32 bits is refused without an attempt. The queued messages count too. */
static void an_absurd_reserve_is_refused(void **state)
{
    const size_t most = QUEUE_CAPACITY_MAX;
    struct model model = {.count = 0};
    struct queue queue;
    size_t before;

    (void)state;
    sse_queue_init(&queue, false, NO_LIMIT, UINT32_MAX);
    before = atomic_load(&fake.allocations);
    assert_int_equal(sse_queue_reserve(&queue, absurd(), &fake.platform), -ENOMEM);
    assert_int_equal(sse_queue_reserve(&queue, SIZE_MAX / 2, &fake.platform), -ENOMEM);
    push(&queue, &model, pool[0]);
    assert_int_equal(sse_queue_reserve(&queue, most, &fake.platform), -ENOMEM);
    check(&queue, &model);
    assert_int_equal(atomic_load(&fake.allocations), before);
    sse_queue_clear(&queue, &fake.platform);
}

/* Also after a reserve whose message never came. */
static void an_empty_queue_is_cleared_of_its_memory(void **state)
{
    struct queue queue;

    (void)state;
    sse_queue_init(&queue, false, NO_LIMIT, UINT32_MAX);
    assert_int_equal(sse_queue_reserve(&queue, 20, &fake.platform), 0);
    assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE - 1);
    sse_queue_clear(&queue, &fake.platform);
    assert_int_equal(atomic_load(&fake.blocks), POOL_SIZE - 2);
    assert_int_equal(sse_queue_push(&queue, pool[0], &fake.platform), 0);
    sse_queue_clear(&queue, &fake.platform);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_place_of_every_ring_can_be_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_is_dropped_than_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_counts_all_its_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_dropped_if_that_makes_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_beyond_its_limits_is_only_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_is_cut_to_its_limits_from_either_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exempt_messages_are_not_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_reserve_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_absurd_reserve_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_queue_is_cleared_of_its_memory, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

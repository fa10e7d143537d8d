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
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NO_LIMIT SIZE_MAX
#define POOL_SIZE 12
#define QUEUED_MAX 64
#define IOV_MAX_HERE 80
#define OPERATION_COUNT 20000

static struct fake_platform fake;
static struct sse_message *pool[POOL_SIZE];

/* A comment with this many letters; ":\n" for none. */
static struct sse_message *new_message(size_t letters)
{
    struct sse_message *message = NULL;
    char *text = malloc(letters + 1);

    assert_non_null(text);
    for (size_t i = 0; i < letters; i++)
        text[i] = (char)('a' + i % 26);
    assert_int_equal(
        sse_message_new(&message, &(struct sse_event){.comment = {text, letters}}, 1, &fake.platform), 0);
    free(text);
    return message;
}

static struct sse_message *new_batch(void)
{
    const struct sse_event events[] = {
        {.data = sse_str("1"), .id = sse_str("1")}, {.data = sse_str("2")}, {.data = sse_str("3")}};
    struct sse_message *message = NULL;

    assert_int_equal(sse_message_new(&message, events, COUNT(events), &fake.platform), 0);
    return message;
}

/* Messages of many sizes: framed, unframed, static and a batch. */
static int set_up(void **state)
{
    static const size_t letters[] = {0, 1, 2, 5, 12, 13, 40, 300};
    size_t count = 0;

    (void)state;
    fake_platform_init(&fake);
    for (size_t i = 0; i < COUNT(letters); i++)
        pool[count++] = new_message(letters[i]);
    pool[count++] = new_batch();
    assert_int_equal(sse_message_new_head(&pool[count++], NULL, &fake.platform), 0);
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
    fake_platform_check_no_leak(&fake);
    return 0;
}

/* The blocks of the pool's messages. All other blocks belong to the queue. */
static size_t pool_blocks(void)
{
    return POOL_SIZE - 2;
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
};

static void model_forget_first(struct model *model)
{
    model->count--;
    model->taken = 0;
    memmove(&model->messages[0], &model->messages[1], model->count * sizeof(model->messages[0]));
}

static size_t model_size(const struct queue *queue, const struct model *model)
{
    size_t size = 0;

    for (size_t i = 0; i < model->count; i++)
        size += wire_size(queue, model->messages[i]);
    return size - model->taken;
}

/* Lists the pieces of the model's messages, up to `iov_count` of them. */
static void check_gather(struct queue *queue, const struct model *model, int iov_count)
{
    struct iovec iov[IOV_MAX_HERE + 1];
    int expected = (size_t)iov_count < model->count ? iov_count : (int)model->count;

    memset(iov, 0xa5, sizeof(iov));
    assert_int_equal(sse_queue_gather(queue, iov, iov_count), expected);
    for (int i = 0; i < expected; i++) {
        struct sse_text wire = sse_message_wire(model->messages[i], queue->chunked);
        size_t taken = i ? 0 : model->taken;

        assert_ptr_equal(iov[i].iov_base, wire.ptr + taken);
        assert_int_equal(iov[i].iov_len, wire.len - taken);
        assert_true(iov[i].iov_len > 0);
    }
    assert_int_equal(iov[expected].iov_len, SIZE_MAX / 0xff * 0xa5);
}

static void check(struct queue *queue, const struct model *model)
{
    size_t events = 0;

    assert_int_equal(queue->count, model->count);
    assert_int_equal(queue->bytes, model_size(queue, model));
    assert_ptr_equal(sse_queue_first(queue), model->count ? model->messages[0] : NULL);
    for (size_t i = 0; i < model->count; i++)
        events += model->messages[i]->events;
    assert_int_equal(sse_queue_events(queue), events);
    check_gather(queue, model, IOV_MAX_HERE);
    if (!model->count) {
        assert_false(queue->ringed);
        assert_int_equal(queue->taken, 0);
    }
}

static void push(struct queue *queue, struct model *model, struct sse_message *message)
{
    assert_int_equal(sse_queue_push(queue, message, &fake.platform), 0);
    model->messages[model->count++] = message;
}

/* Consumes `size` bytes, message by message, as a writer does. */
static void take(struct queue *queue, struct model *model, size_t size)
{
    size_t left = size;

    while (model->count && left >= wire_size(queue, model->messages[0]) - model->taken) {
        size_t whole = wire_size(queue, model->messages[0]) - model->taken;
        size_t before = left;

        assert_ptr_equal(sse_queue_take(queue, &left, &fake.platform), model->messages[0]);
        assert_int_equal(left, before - whole);
        sse_message_unref(model->messages[0]);
        model_forget_first(model);
    }
    model->taken += model->count ? left : 0;
    assert_null(sse_queue_take(queue, &left, &fake.platform));
    if (model->count)
        assert_int_equal(left, 0);
}

static void drop_first(struct queue *queue, struct model *model)
{
    sse_queue_drop_first(queue, &fake.platform);
    model_forget_first(model);
}

static void clear(struct queue *queue, struct model *model)
{
    sse_queue_clear(queue, &fake.platform);
    model->count = 0;
    model->taken = 0;
    check(queue, model);
}

/* SSE_TEST_SEED repeats a run. */
static uint64_t choose_seed(void)
{
    const char *given = getenv("SSE_TEST_SEED");
    struct timespec time = {0, 0};
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &time);
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    print_message("SSE_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

static size_t random_below(uint64_t *random, size_t end)
{
    uint64_t bits = *random += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((bits ^ (bits >> 31)) % end);
}

static int admission(const struct queue *queue, const struct model *model, const struct sse_message *message)
{
    size_t size = wire_size(queue, message);

    if (size > queue->bytes_max)
        return -EMSGSIZE;
    return model->count < queue->count_max && model_size(queue, model) + size <= queue->bytes_max ? 0
                                                                                                  : -ENOBUFS;
}

/* One time in four there is no memory. Then nothing changes if memory would have been needed. */
static void push_random(struct queue *queue, struct model *model, uint64_t *random)
{
    struct sse_message *message = pool[random_below(random, POOL_SIZE)];
    int expected = admission(queue, model, message);
    int error;

    assert_int_equal(sse_queue_admits(queue, message, 1), expected);
    if (expected)
        return;
    fake_platform_fail_at(&fake, random_below(random, 4) ? 0 : 1, true);
    error = sse_queue_push(queue, message, &fake.platform);
    if (!error)
        model->messages[model->count++] = message;
    else
        assert_int_equal(error, -ENOMEM);
    assert_int_equal(error ? 1 : 0, fake.fail_at ? fake.attempts > 0 : 0);
    fake_platform_fail_at(&fake, 0, false);
}

static void replace_first(struct queue *queue, struct model *model)
{
    struct sse_message *old = model->messages[0];
    struct sse_message *copy = sse_message_copy(old, &fake.platform);

    assert_non_null(copy);
    sse_queue_replace_first(queue, copy);
    model->messages[0] = copy;
    check(queue, model);
    /* Puts the message back, so that the pool does not change. */
    sse_queue_replace_first(queue, old);
    model->messages[0] = old;
    sse_message_unref(copy);
}

static void operate(struct queue *queue, struct model *model, size_t eagerness, uint64_t *random)
{
    size_t chosen = random_below(random, 100);

    if (chosen < eagerness)
        push_random(queue, model, random);
    else if (chosen < 90)
        take(queue, model, random_below(random, random_below(random, 2) ? 20 : 900));
    else if (chosen < 94 && model->count)
        drop_first(queue, model);
    else if (chosen < 99 && model->count)
        replace_first(queue, model);
    else if (chosen == 99)
        clear(queue, model);
    check(queue, model);
    check_gather(queue, model, (int)random_below(random, IOV_MAX_HERE));
}

static void run_random(bool chunked, uint64_t *random)
{
    struct queue queue;
    struct model model = {.count = 0};
    size_t longest = 0;

    sse_queue_init(&queue, chunked, 2000, 40);
    for (size_t i = 0; i < OPERATION_COUNT / 2; i++) {
        /* Mostly empty, then mostly full, and again. */
        operate(&queue, &model, i / 500 % 2 ? 80 : 40, random);
        longest = model.count > longest ? model.count : longest;
        if (!model.count)
            assert_int_equal(fake.blocks, pool_blocks());
    }
    assert_true(longest > 16);
    clear(&queue, &model);
    assert_int_equal(fake.blocks, pool_blocks());
}

static void random_operations_match_a_model(void **state)
{
    uint64_t random = choose_seed();

    (void)state;
    run_random(false, &random);
    run_random(true, &random);
}

static void an_empty_queue_shows_nothing(void **state)
{
    struct queue queue;
    struct iovec iov;
    size_t size = 7;

    (void)state;
    sse_queue_init(&queue, true, NO_LIMIT, 10);
    assert_null(sse_queue_first(&queue));
    assert_int_equal(sse_queue_gather(&queue, &iov, 1), 0);
    assert_int_equal(sse_queue_gather(&queue, NULL, 0), 0);
    assert_null(sse_queue_take(&queue, &size, &fake.platform));
    assert_int_equal(sse_queue_events(&queue), 0);
    assert_int_equal(queue.bytes, 0);
    sse_queue_clear(&queue, &fake.platform);
    assert_int_equal(fake.blocks, pool_blocks());
}

/* Four messages, every place where a first write may stop, and from there every second one. */
static void the_cursor_stops_at_every_offset(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct queue queue;
        struct model model = {.count = 0};
        size_t total = 0;

        sse_queue_init(&queue, chunked, NO_LIMIT, 10);
        for (size_t first = 0; first <= total; first++) {
            for (size_t second = 0; first + second <= total; second++) {
                for (size_t i = 1; i <= 4; i++)
                    push(&queue, &model, pool[i]);
                total = queue.bytes;
                take(&queue, &model, first);
                check(&queue, &model);
                take(&queue, &model, second);
                check(&queue, &model);
                take(&queue, &model, total - first - second);
                assert_int_equal(model.count, 0);
                check(&queue, &model);
            }
        }
        assert_true(total > 30);
    }
}

static void gathering_fills_as_many_as_there_are(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct queue queue;
        struct model model = {.count = 0};

        sse_queue_init(&queue, chunked, NO_LIMIT, 20);
        for (size_t i = 0; i < POOL_SIZE; i++)
            push(&queue, &model, pool[i]);
        for (size_t taken = 0; taken < 2; taken++) {
            for (int count = 0; count <= POOL_SIZE + 2; count++)
                check_gather(&queue, &model, count);
            take(&queue, &model, 1);
        }
        clear(&queue, &model);
    }
}

static void the_bytes_of_a_framing_are_shown(void **state)
{
    static const char *const streams[] = {":\n: a\n", "2\r\n:\n\r\n4\r\n: a\n\r\n"};

    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct queue queue;
        struct model model = {.count = 0};
        struct iovec iov[2] = {{.iov_base = NULL}};

        sse_queue_init(&queue, chunked, NO_LIMIT, 20);
        push(&queue, &model, sse_message_heartbeat());
        push(&queue, &model, pool[1]);
        assert_int_equal(queue.bytes, strlen(streams[chunked]));
        assert_int_equal(sse_queue_gather(&queue, iov, 2), 2);
        assert_memory_equal(iov[0].iov_base, streams[chunked], iov[0].iov_len);
        assert_memory_equal(iov[1].iov_base, streams[chunked] + iov[0].iov_len, iov[1].iov_len);
        clear(&queue, &model);
    }
}

/* From every place in the ring to every length, the order and the cursor stay correct. */
static void growing_keeps_the_order(void **state)
{
    (void)state;
    for (size_t start = 0; start < 20; start++) {
        for (size_t kept = 1; kept < 20; kept++) {
            struct queue queue;
            struct model model = {.count = 0};

            sse_queue_init(&queue, true, NO_LIMIT, 100);
            push(&queue, &model, pool[0]);
            for (size_t i = 0; i < start; i++) {
                push(&queue, &model, pool[i % POOL_SIZE]);
                if (model.count > kept)
                    drop_first(&queue, &model);
            }
            take(&queue, &model, 1);
            for (size_t i = 0; i < 20; i++) {
                push(&queue, &model, pool[(3 * i + start) % POOL_SIZE]);
                check(&queue, &model);
            }
            while (model.count) {
                drop_first(&queue, &model);
                check(&queue, &model);
            }
            assert_int_equal(fake.blocks, pool_blocks());
        }
    }
}

static void one_message_needs_no_memory(void **state)
{
    struct queue queue;
    struct model model = {.count = 0};

    (void)state;
    sse_queue_init(&queue, true, NO_LIMIT, 100);
    for (int round = 0; round < 3; round++) {
        size_t allocations = fake.allocations;

        fake_platform_fail_at(&fake, 1, true);
        for (size_t i = 0; i < 10; i++) {
            push(&queue, &model, pool[i]);
            drop_first(&queue, &model);
            push(&queue, &model, pool[i + 1]);
            check(&queue, &model);
            take(&queue, &model, queue.bytes);
        }
        assert_int_equal(fake.allocations, allocations);

        /* The second message needs memory, which is freed with the last message. */
        fake_platform_fail_at(&fake, 0, false);
        for (size_t i = 0; i < 3; i++)
            push(&queue, &model, pool[i]);
        assert_int_equal(fake.blocks, pool_blocks() + 1);
        assert_int_equal(fake.allocations, allocations + 1);
        take(&queue, &model, queue.bytes - 1);
        assert_int_equal(fake.blocks, pool_blocks() + 1);
        if (round == 0)
            take(&queue, &model, 1);
        else if (round == 1)
            drop_first(&queue, &model);
        else
            clear(&queue, &model);
        assert_int_equal(fake.blocks, pool_blocks());
        assert_false(queue.ringed);
    }
}

static void growing_costs_few_allocations(void **state)
{
    struct queue queue;
    size_t allocations = fake.allocations;

    (void)state;
    sse_queue_init(&queue, false, NO_LIMIT, 10000);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(sse_queue_push(&queue, pool[0], &fake.platform), 0);
    assert_true(fake.allocations - allocations <= 12);
    assert_int_equal(fake.blocks, pool_blocks() + 1);
    assert_int_equal(queue.bytes, 20000);
    sse_queue_clear(&queue, &fake.platform);
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(fake.blocks, pool_blocks());
}

static void failure_to_grow_changes_nothing(void **state)
{
    struct queue queue;
    struct model model = {.count = 0};
    size_t failures = 0;

    (void)state;
    sse_queue_init(&queue, true, NO_LIMIT, 100);
    push(&queue, &model, pool[3]);
    take(&queue, &model, 2);
    while (model.count < 40) {
        struct sse_message *extra = new_message(3);
        struct queue before = queue;
        int error;

        fake_platform_fail_at(&fake, 1, true);
        error = sse_queue_push(&queue, extra, &fake.platform);
        fake_platform_fail_at(&fake, 0, false);
        if (error) {
            assert_int_equal(error, -ENOMEM);
            assert_int_equal(queue.ringed, before.ringed);
            assert_ptr_equal(queue.ring, before.ring);
            assert_true(!queue.ringed || queue.ring->first == 0);
            assert_true(!queue.ringed || queue.ring->capacity == model.count);
            assert_int_equal(queue.taken, before.taken);
            check(&queue, &model);
            failures++;
            assert_int_equal(sse_queue_push(&queue, extra, &fake.platform), 0);
        }
        model.messages[model.count++] = extra;
        check(&queue, &model);
        /* From here on only the queue has a reference. A failed push that took a reference would leak. */
        sse_message_unref(extra);
    }
    /* At 2, 17 and 33. */
    assert_int_equal(failures, 3);
    clear(&queue, &model);
}

static void the_limit_of_bytes_is_exact(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct sse_message *message = pool[5], *small = pool[2];
        size_t size = sse_message_wire(message, chunked).len,
               small_size = sse_message_wire(small, chunked).len;

        for (size_t limit = 1; limit <= 2 * size + 2; limit++) {
            struct queue queue;
            struct model model = {.count = 0};

            sse_queue_init(&queue, chunked, limit, 100);
            assert_int_equal(sse_queue_admits(&queue, message, 1), size <= limit ? 0 : -EMSGSIZE);
            if (size > limit)
                continue;
            push(&queue, &model, message);
            assert_int_equal(sse_queue_admits(&queue, message, 1), 2 * size <= limit ? 0 : -ENOBUFS);
            assert_int_equal(sse_queue_admits(&queue, small, 1), size + small_size <= limit ? 0 : -ENOBUFS);
            assert_int_equal(sse_queue_admits(&queue, pool[7], 1), -EMSGSIZE);
            /* Written bytes make room at once. */
            for (size_t taken = 1; taken < size; taken++) {
                take(&queue, &model, 1);
                assert_int_equal(sse_queue_admits(&queue, small, 1),
                                 size - taken + small_size <= limit ? 0 : -ENOBUFS);
            }
            clear(&queue, &model);
            assert_int_equal(sse_queue_admits(&queue, message, 1), 0);
        }
    }
}

static void the_limit_of_messages_is_exact(void **state)
{
    (void)state;
    for (uint32_t limit = 1; limit < 20; limit++) {
        struct queue queue;
        struct model model = {.count = 0};

        sse_queue_init(&queue, false, 200, limit);
        for (size_t i = 0; i < limit; i++) {
            assert_int_equal(sse_queue_admits(&queue, pool[0], 1), 0);
            push(&queue, &model, pool[0]);
        }
        assert_int_equal(sse_queue_admits(&queue, pool[0], 1), -ENOBUFS);
        /* An event that never fits returns -EMSGSIZE, whether the queue is full or not. */
        assert_int_equal(sse_queue_admits(&queue, pool[7], 1), -EMSGSIZE);
        /* A partly written message still counts as a message. */
        take(&queue, &model, 1);
        assert_int_equal(sse_queue_admits(&queue, pool[0], 1), -ENOBUFS);
        take(&queue, &model, 1);
        assert_int_equal(sse_queue_admits(&queue, pool[0], 1), 0);
        clear(&queue, &model);
    }
}

/* If the output was not tried, up to four times the limit may be queued. A single message that is larger than the
 * limit may not. */
static void a_factor_multiplies_the_limits(void **state)
{
    (void)state;
    for (unsigned factor = 1; factor <= QUEUE_UNTRIED_FACTOR; factor++) {
        struct queue queue;
        struct model model = {.count = 0};
        size_t size = sse_message_wire(pool[4], false).len;

        sse_queue_init(&queue, false, 3 * size, 100);
        while (!sse_queue_admits(&queue, pool[4], factor))
            push(&queue, &model, pool[4]);
        assert_int_equal(model.count, 3 * factor);
        assert_int_equal(sse_queue_admits(&queue, pool[7], factor), -EMSGSIZE);
        clear(&queue, &model);

        sse_queue_init(&queue, false, NO_LIMIT, 3);
        while (!sse_queue_admits(&queue, pool[4], factor))
            push(&queue, &model, pool[4]);
        assert_int_equal(model.count, 3 * factor);
        clear(&queue, &model);

        /* The products do not wrap around. */
        sse_queue_init(&queue, false, NO_LIMIT, UINT32_MAX);
        push(&queue, &model, pool[4]);
        assert_int_equal(sse_queue_admits(&queue, pool[4], factor), 0);
        clear(&queue, &model);
    }
}

static void exempt_messages_do_not_count(void **state)
{
    struct queue queue;
    struct model model = {.count = 0};
    size_t size = sse_message_wire(pool[4], false).len;

    (void)state;
    sse_queue_init(&queue, false, 2 * size, 2);
    for (size_t i = 0; i < 10; i++)
        push(&queue, &model, pool[4]);
    assert_true(sse_queue_is_over(&queue));
    sse_queue_exempt_all(&queue);
    assert_false(sse_queue_is_over(&queue));
    assert_false(sse_queue_is_half_full(&queue));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sse_queue_admits(&queue, pool[4], 1), 0);
        push(&queue, &model, pool[4]);
    }
    assert_int_equal(sse_queue_admits(&queue, pool[4], 1), -ENOBUFS);
    /* Writing exempt messages does not change how full it is. */
    for (size_t i = 0; i < 10; i++) {
        take(&queue, &model, size - 1);
        assert_int_equal(sse_queue_admits(&queue, pool[4], 1), -ENOBUFS);
        take(&queue, &model, 1);
        assert_int_equal(sse_queue_admits(&queue, pool[4], 1), -ENOBUFS);
        check(&queue, &model);
    }
    assert_int_equal(queue.exempt, 0);
    take(&queue, &model, size);
    assert_int_equal(sse_queue_admits(&queue, pool[4], 1), 0);
    clear(&queue, &model);
}

static void exempt_bytes_leave_with_their_messages(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        for (int way = 0; way < 4; way++) {
            struct queue queue;
            struct model model = {.count = 0};

            sse_queue_init(&queue, chunked, NO_LIMIT, 100);
            push(&queue, &model, pool[3]);
            take(&queue, &model, 2);
            push(&queue, &model, pool[6]);
            sse_queue_exempt_all(&queue);
            push(&queue, &model, pool[8]);
            assert_int_equal(queue.exempt, 2);
            assert_int_equal(sse_queue_exempt_bytes(&queue), queue.bytes - wire_size(&queue, pool[8]));
            if (way == 0) {
                take(&queue, &model, sse_queue_exempt_bytes(&queue) - 1);
                assert_int_equal(sse_queue_exempt_bytes(&queue), 1);
                assert_int_equal(queue.exempt, 1);
                take(&queue, &model, 1);
            } else if (way == 1) {
                drop_first(&queue, &model);
                assert_int_equal(sse_queue_exempt_bytes(&queue), wire_size(&queue, pool[6]));
                drop_first(&queue, &model);
            } else if (way == 2) {
                take(&queue, &model, queue.bytes);
            } else {
                clear(&queue, &model);
            }
            assert_int_equal(queue.exempt, 0);
            assert_int_equal(sse_queue_exempt_bytes(&queue), 0);
            check(&queue, &model);
            clear(&queue, &model);
        }
    }
}

static void half_full_is_more_than_half_of_a_limit(void **state)
{
    struct queue queue;
    struct model model = {.count = 0};
    size_t size = sse_message_wire(pool[4], false).len;

    (void)state;
    sse_queue_init(&queue, false, 4 * size, 100);
    for (size_t i = 1; i <= 4; i++) {
        push(&queue, &model, pool[4]);
        assert_int_equal(sse_queue_is_half_full(&queue), i > 2);
    }
    clear(&queue, &model);
    sse_queue_init(&queue, false, NO_LIMIT, 4);
    for (size_t i = 1; i <= 4; i++) {
        push(&queue, &model, pool[4]);
        assert_int_equal(sse_queue_is_half_full(&queue), i > 2);
    }
    clear(&queue, &model);
}

static void over_is_more_than_a_limit(void **state)
{
    struct queue queue;
    struct model model = {.count = 0};
    size_t size = sse_message_wire(pool[4], false).len;

    (void)state;
    sse_queue_init(&queue, false, 2 * size, 100);
    for (size_t i = 1; i <= 4; i++) {
        push(&queue, &model, pool[4]);
        assert_int_equal(sse_queue_is_over(&queue), i > 2);
    }
    take(&queue, &model, 2 * size - 1);
    assert_true(sse_queue_is_over(&queue));
    take(&queue, &model, 1);
    assert_false(sse_queue_is_over(&queue));
    clear(&queue, &model);
    sse_queue_init(&queue, false, NO_LIMIT, 2);
    for (size_t i = 1; i <= 4; i++) {
        push(&queue, &model, pool[4]);
        assert_int_equal(sse_queue_is_over(&queue), i > 2);
    }
    clear(&queue, &model);
}

static void dropping_subtracts_what_was_left(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        size_t size = sse_message_wire(pool[4], chunked).len, rest = sse_message_wire(pool[8], chunked).len;

        for (size_t taken = 0; taken < size; taken++) {
            struct queue queue;
            struct model model = {.count = 0};

            sse_queue_init(&queue, chunked, NO_LIMIT, 10);
            push(&queue, &model, pool[4]);
            push(&queue, &model, pool[8]);
            take(&queue, &model, taken);
            drop_first(&queue, &model);
            assert_int_equal(queue.bytes, rest);
            assert_int_equal(sse_queue_events(&queue), 3);
            check(&queue, &model);
            drop_first(&queue, &model);
            check(&queue, &model);
        }
    }
}

static void replacing_keeps_the_cursor_and_moves_the_reference(void **state)
{
    struct sse_message *original = new_message(9), *copy = sse_message_copy(original, &fake.platform);
    struct queue queue;
    struct model model = {.count = 0};

    (void)state;
    assert_non_null(copy);
    sse_queue_init(&queue, true, NO_LIMIT, 10);
    push(&queue, &model, original);
    push(&queue, &model, pool[1]);
    take(&queue, &model, 5);
    sse_queue_replace_first(&queue, copy);
    model.messages[0] = copy;
    check(&queue, &model);
    /* There are the queue's reference and the test's. One block belongs to the queue itself. */
    sse_message_unref(original);
    assert_int_equal(fake.blocks, pool_blocks() + 3);
    sse_message_unref(original);
    assert_int_equal(fake.blocks, pool_blocks() + 2);
    /* The queue now has the reference of the copy. */
    take(&queue, &model, queue.bytes);
    assert_int_equal(fake.blocks, pool_blocks());
}

static void every_removal_releases_the_reference(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct sse_message *message = new_message(7);
        struct queue queue;
        size_t size;

        sse_queue_init(&queue, false, NO_LIMIT, 10);
        for (int i = 0; i < 5; i++)
            assert_int_equal(sse_queue_push(&queue, message, &fake.platform), 0);
        sse_message_unref(message);
        size = queue.bytes - 1;
        while (way == 0 && sse_queue_take(&queue, &size, &fake.platform))
            sse_message_unref(message);
        for (int i = 0; way == 1 && i < 4; i++)
            sse_queue_drop_first(&queue, &fake.platform);
        if (way == 2)
            sse_queue_clear(&queue, &fake.platform);
        else
            assert_int_equal(sse_message_bytes(sse_queue_first(&queue)).len, 10);
        sse_queue_clear(&queue, &fake.platform);
        assert_int_equal(fake.blocks, pool_blocks());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_queue_shows_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cursor_stops_at_every_offset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gathering_fills_as_many_as_there_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_bytes_of_a_framing_are_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(growing_keeps_the_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_message_needs_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(growing_costs_few_allocations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failure_to_grow_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limit_of_bytes_is_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limit_of_messages_is_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_factor_multiplies_the_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exempt_messages_do_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exempt_bytes_leave_with_their_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_full_is_more_than_half_of_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(over_is_more_than_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropping_subtracts_what_was_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacing_keeps_the_cursor_and_moves_the_reference, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_removal_releases_the_reference, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

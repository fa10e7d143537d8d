/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/message.h"
#include "fake_platform.h"

#include <sse/http.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SMALL_MAX                                                                                            \
    (sizeof(((struct small_message *)NULL)->block) - MESSAGE_CHUNK_HEAD_MAX - MESSAGE_CHUNK_TAIL)

static struct fake_platform fake;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    return 0;
}

static int check_no_leak(void **state)
{
    (void)state;
    fake_platform_check_no_leak(&fake);
    return 0;
}

/* A value that no library call may return or leave behind. */
static struct sse_message *const untouched = (struct sse_message *)(uintptr_t)64;

static struct sse_message *new_message(const struct sse_event *events, size_t count)
{
    struct sse_message *message = untouched;

    assert_int_equal(sse_message_new(&message, events, count, &fake.platform), 0);
    assert_true(message && message != untouched);
    return message;
}

static void expect_error(const struct sse_event *events, size_t count, const struct sse_platform *platform,
                         int error)
{
    struct sse_message *message = untouched;
    size_t allocations = fake.allocations;

    assert_int_equal(sse_message_new(&message, events, count, platform), error);
    assert_ptr_equal(message, untouched);
    assert_int_equal(fake.allocations, allocations);
}

static void expect_text(struct sse_text actual, const char *expected, size_t size)
{
    assert_non_null(actual.ptr);
    assert_int_equal(actual.len, size);
    assert_memory_equal(actual.ptr, expected, size);
}

static void expect_literal(struct sse_text actual, const char *expected)
{
    expect_text(actual, expected, strlen(expected));
}

/* The frame, with exactly one chunk of its size around it when chunked. */
static void expect_frame(const struct sse_message *message, const char *expected, size_t size)
{
    struct sse_text raw = sse_message_wire(message, false), chunked = sse_message_wire(message, true);
    char head[32];
    size_t head_size = (size_t)snprintf(head, sizeof(head), "%zx\r\n", size);

    expect_text(raw, expected, size);
    assert_ptr_equal(sse_message_bytes(message).ptr, raw.ptr);
    assert_int_equal(sse_message_bytes(message).len, size);
    assert_true(size > 0);
    assert_int_equal(chunked.len, head_size + size + 2);
    assert_memory_equal(chunked.ptr, head, head_size);
    assert_ptr_equal(chunked.ptr + head_size, raw.ptr);
    assert_memory_equal(raw.ptr + size, "\r\n", 2);
}

static void expect_frame_string(const struct sse_message *message, const char *expected)
{
    expect_frame(message, expected, strlen(expected));
}

/* A comment whose event has this size, which is at least 4. */
static struct sse_event event_of_size(size_t size)
{
    char *text = malloc(size - 3);

    assert_non_null(text);
    memset(text, 'a', size - 3);
    return (struct sse_event){.comment = {text, size - 3}};
}

static void free_comment(struct sse_event *event)
{
    free((char *)(uintptr_t)event->comment.ptr);
}

static char *encoded(const struct sse_event *event, size_t size)
{
    char *bytes = malloc(size);

    assert_non_null(bytes);
    assert_int_equal(sse_event_encode(event, bytes, size), size);
    return bytes;
}

static void one_event_is_its_encoding(void **state)
{
    const struct sse_event event = {.id = sse_str("7"),
                                    .type = sse_str("t"),
                                    .data = sse_str("a\nb"),
                                    .comment = sse_str("c"),
                                    .retry_ms = 5};
    struct sse_message *message = new_message(&event, 1);

    (void)state;
    expect_frame_string(message, ": c\nevent: t\ndata: a\ndata: b\nid: 7\nretry: 5\n\n");
    expect_literal(sse_message_id(message), "7");
    assert_int_equal(message->events, 1);
    assert_int_equal(fake.allocations, 1);
    sse_message_unref(message);
}

static void check_chunk(size_t size)
{
    struct sse_event event = event_of_size(size);
    char *expected = encoded(&event, size);
    struct sse_message *message = new_message(&event, 1);

    expect_frame(message, expected, size);
    sse_message_unref(message);
    free(expected);
    free_comment(&event);
}

/* All small sizes, and those around each power of sixteen. */
static void chunk_heads_are_the_size_in_hexadecimal(void **state)
{
    (void)state;
    for (size_t size = 4; size < 600; size++)
        check_chunk(size);
    for (size_t limit = 0x1000; limit <= SSE_EVENT_SIZE_MAX; limit *= 16) {
        check_chunk(limit - 1);
        check_chunk(limit);
        if (limit < SSE_EVENT_SIZE_MAX)
            check_chunk(limit + 1);
    }
}

static void a_batch_is_one_frame(void **state)
{
    const struct sse_event events[] = {
        {.retry_ms = 2000},
        {.data = sse_str("1")},
        {.comment = sse_str("")},
        {.data = sse_str("2"), .type = sse_str("t")},
    };
    struct sse_message *message = new_message(events, COUNT(events));

    (void)state;
    expect_frame_string(message, "retry: 2000\ndata: 1\n\n:\nevent: t\ndata: 2\n\n");
    assert_int_equal(message->events, COUNT(events));
    assert_null(sse_message_id(message).ptr);
    assert_int_equal(sse_message_id(message).len, 0);
    sse_message_unref(message);
}

/* In these batches "-" stands for no id. The last id counts, even if it is empty. */
static void the_last_id_of_a_batch_wins(void **state)
{
    static const struct {
        const char *ids[3];
        const char *last;
        size_t offset;
    } rows[] = {
        {{"-", "-", "-"}, NULL, 0},
        {{"one", "-", "-"}, "one", 12},
        {{"-", "two", "-"}, "two", 21},
        {{"one", "two", "three"}, "three", 46},
        {{"same", "same", "same"}, "same", 48},
        {{"one", "", "-"}, "", 29},
        {{"", "-", "-"}, "", 12},
        {{"one", "-", ""}, "", 38},
        {{"", "last", "-"}, "last", 26},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_event events[3];
        struct sse_message *message;

        for (size_t j = 0; j < 3; j++) {
            const char *id = rows[i].ids[j];

            events[j] = (struct sse_event){.data = sse_str("x"), .id = sse_str(*id == '-' ? NULL : id)};
        }
        events[2].retry_ms = 123;
        message = new_message(events, 3);
        if (!rows[i].last) {
            assert_null(sse_message_id(message).ptr);
        } else {
            struct sse_text id = sse_message_id(message);

            expect_literal(id, rows[i].last);
            assert_int_equal((size_t)(id.ptr - sse_message_bytes(message).ptr), rows[i].offset);
            assert_memory_equal(id.ptr - 4, "id: ", 4);
            assert_int_equal(id.ptr[id.len], '\n');
        }
        sse_message_unref(message);
    }
}

static void one_bad_event_spoils_the_batch(void **state)
{
    static const struct {
        struct sse_event event;
        int error;
    } rows[] = {
        {{.retry_ms = 0}, -EINVAL},
        {{.type = {"t", 1}}, -EINVAL},
        {{.data = {"x", 1}, .id = {"a\nb", 3}}, -EINVAL},
        {{.data = {NULL, 1}}, -EINVAL},
        {{.data = {"\xff", 1}}, -EILSEQ},
        {{.retry_ms = -1}, -ERANGE},
        {{.data = {"x", SSE_EVENT_SIZE_MAX + 1}}, -EMSGSIZE},
        {{.data = {"x", SIZE_MAX}}, -EOVERFLOW},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t bad = 0; bad < 4; bad++) {
            struct sse_event events[4];

            for (size_t j = 0; j < COUNT(events); j++)
                events[j] = (struct sse_event){.data = sse_str("good"), .id = sse_str("1")};
            events[bad] = rows[i].event;
            expect_error(events, COUNT(events), &fake.platform, rows[i].error);
        }
    }
}

/* A key belongs to one event, so a batch has none. */
static void only_an_event_alone_has_a_key(void **state)
{
    struct sse_event events[3];
    struct sse_message *message;

    (void)state;
    for (size_t keyed = 0; keyed < COUNT(events); keyed++) {
        for (size_t i = 0; i < COUNT(events); i++)
            events[i] = (struct sse_event){.data = sse_str("x"), .key = sse_str(i == keyed ? "" : NULL)};
        expect_error(events, COUNT(events), &fake.platform, -EINVAL);
        message = new_message(&events[keyed], 1);
        expect_literal(message->key, "");
        sse_message_unref(message);
    }
}

static void the_limit_holds_for_the_batch(void **state)
{
    struct sse_event events[3];
    struct sse_message *message;

    (void)state;
    events[0] = event_of_size(SSE_EVENT_SIZE_MAX - 1000);
    events[1] = event_of_size(500);
    events[2] = event_of_size(501);
    expect_error(events, 3, &fake.platform, -EMSGSIZE);
    events[2].comment.len--;
    message = new_message(events, 3);
    assert_int_equal(sse_message_bytes(message).len, SSE_EVENT_SIZE_MAX);
    sse_message_unref(message);
    for (size_t i = 0; i < COUNT(events); i++)
        free_comment(&events[i]);
}

static void bad_arguments_are_refused(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};
    struct sse_platform platform = fake.platform;

    (void)state;
    assert_int_equal(sse_message_new(NULL, &event, 1, &fake.platform), -EINVAL);
    expect_error(NULL, 1, &fake.platform, -EINVAL);
    expect_error(&event, 0, &fake.platform, -EINVAL);
    expect_error(NULL, 0, NULL, -EINVAL);
    platform.size--;
    expect_error(&event, 1, &platform, -EINVAL);
    platform.size = 0;
    expect_error(&event, 1, &platform, -EINVAL);
    platform = fake.platform;
    platform.deallocate = NULL;
    expect_error(&event, 1, &platform, -EINVAL);
    platform = fake.platform;
    platform.allocate = NULL;
    expect_error(&event, 1, &platform, -EINVAL);
#if SIZE_MAX > UINT_MAX
    /* Only one event may be read. */
    expect_error(&event, (size_t)UINT_MAX + 1, &fake.platform, -EINVAL);
#endif
}

static void the_default_platform_serves(void **state)
{
    const struct sse_platform no_functions = {.size = sizeof(no_functions)};
    const struct sse_platform *const platforms[] = {NULL, &no_functions};
    const struct sse_event event = {.data = sse_str("x")};

    (void)state;
    for (size_t i = 0; i < COUNT(platforms); i++) {
        struct sse_message *message;

        assert_int_equal(sse_message_new(&message, &event, 1, platforms[i]), 0);
        expect_frame_string(message, "data: x\n\n");
        sse_message_unref(message);
    }
}

static void references_keep_a_message(void **state)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str("1")};
    struct sse_message *message = new_message(&event, 1);

    (void)state;
    assert_null(sse_message_ref(NULL));
    sse_message_unref(NULL);
    assert_null(sse_message_bytes(NULL).ptr);
    assert_int_equal(sse_message_bytes(NULL).len, 0);
    for (size_t count = 1; count <= 1000; count++)
        assert_ptr_equal(sse_message_ref(message), message);
    for (size_t count = 1; count <= 1000; count++) {
        sse_message_unref(message);
        assert_int_equal(fake.blocks, 1);
    }
    expect_frame_string(message, "data: x\nid: 1\n\n");
    sse_message_unref(message);
    assert_int_equal(fake.blocks, 0);
}

static struct sse_message *make_new(void)
{
    const struct sse_event event = {.data = sse_str("data"), .id = sse_str("1")};
    struct sse_message *message = untouched;
    int error = sse_message_new(&message, &event, 1, &fake.platform);

    if (!error)
        return message;
    assert_int_equal(error, -ENOMEM);
    assert_ptr_equal(message, untouched);
    return NULL;
}

static struct sse_message *make_copy(void)
{
    return sse_message_copy(sse_message_heartbeat(), &fake.platform);
}

static struct sse_message *make_head(void)
{
    struct sse_message *message = NULL;
    int error = sse_message_new_head(&message, NULL, &fake.platform);

    assert_int_equal(error, message ? 0 : -ENOMEM);
    return message;
}

/* The first allocation fails, then the second, and so on for all. */
static void each_allocation_may_fail(void **state)
{
    static struct sse_message *(*const makers[])(void) = {make_new, make_copy, make_head};

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(makers); i++) {
        struct sse_message *message = NULL;
        size_t failures = 0;

        while (!message) {
            fake_platform_fail_at(&fake, failures + 1, i % 2);
            message = makers[i / 2]();
            if (!message)
                failures++;
            assert_int_equal(fake.blocks, message ? 1 : 0);
        }
        assert_int_equal(failures, 1);
        fake_platform_fail_at(&fake, 0, false);
        sse_message_unref(message);
    }
}

/* The block of a small message ends where its memory ends, so that sanitizers notice accesses past it. */
static struct small_message *allocate_small(void)
{
    struct small_message *small = malloc(sizeof(*small));

    assert_non_null(small);
    memset(small, 0xa5, sizeof(*small));
    return small;
}

static void small_messages_fit_to_the_last_byte(void **state)
{
    struct small_message *blank = allocate_small();

    (void)state;
    for (size_t size = 4; size < SMALL_MAX + 20; size++) {
        struct sse_event event = event_of_size(size);
        struct small_message *small = allocate_small();
        char *expected = encoded(&event, size);

        assert_int_equal(sse_small_message_init(small, &event), size);
        assert_int_equal(sse_small_message_fits((ssize_t)size), size <= SMALL_MAX);
        if (size <= SMALL_MAX) {
            expect_frame(&small->message, expected, size);
            assert_ptr_equal(small->message.frame, small->block + MESSAGE_CHUNK_HEAD_MAX);
        } else
            assert_memory_equal(small, blank, sizeof(*small));
        free(expected);
        free(small);
        free_comment(&event);
    }
    free(blank);
    assert_int_equal(fake.allocations, 0);
}

static void small_messages_refuse_what_encoding_refuses(void **state)
{
    static const struct sse_event bad_events[] = {
        {.type = {"t", 1}}, {.data = {"\xff", 1}}, {.retry_ms = -1}, {.data = {"x", SIZE_MAX}}};
    static const int errors[] = {-EINVAL, -EILSEQ, -ERANGE, -EOVERFLOW};
    struct small_message *small = allocate_small();

    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        assert_int_equal(sse_small_message_init(small, &bad_events[i]), errors[i]);
        assert_false(sse_small_message_fits(errors[i]));
    }
    assert_int_equal(sse_small_message_init(small, NULL), -EINVAL);
    free(small);
}

static void small_messages_know_their_id_and_count_no_references(void **state)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str("id 1"), .retry_ms = 10};
    const struct sse_event without = {.data = sse_str("x")};
    struct small_message *small = allocate_small();

    (void)state;
    assert_true(sse_small_message_fits(sse_small_message_init(small, &event)));
    expect_literal(sse_message_id(&small->message), "id 1");
    assert_ptr_equal(sse_message_id(&small->message).ptr, small->message.frame + 12);
    assert_int_equal(small->message.events, 1);
    for (int i = 0; i < 3; i++)
        sse_message_unref(sse_message_ref(&small->message));
    sse_message_unref(&small->message);
    expect_frame_string(&small->message, "data: x\nid: id 1\nretry: 10\n\n");

    assert_true(sse_small_message_fits(sse_small_message_init(small, &without)));
    assert_null(sse_message_id(&small->message).ptr);
    free(small);
}

static void expect_equal(const struct sse_message *copy, const struct sse_message *message)
{
    for (int chunked = 0; chunked < 2; chunked++) {
        struct sse_text wire = sse_message_wire(message, chunked);

        expect_text(sse_message_wire(copy, chunked), wire.ptr, wire.len);
        assert_true(sse_message_wire(copy, chunked).ptr != wire.ptr);
    }
    assert_int_equal(copy->events, message->events);
    assert_int_equal(!sse_message_id(copy).ptr, !sse_message_id(message).ptr);
    if (sse_message_id(message).ptr)
        expect_text(sse_message_id(copy), sse_message_id(message).ptr, sse_message_id(message).len);
}

/* A copy outlives its original, and counts its own references. */
static void check_copy(struct sse_message *message)
{
    size_t blocks = fake.blocks;
    struct sse_message *copy = sse_message_copy(message, &fake.platform);
    struct sse_message *second;

    assert_non_null(copy);
    assert_int_equal(fake.blocks, blocks + 1);
    expect_equal(copy, message);
    second = sse_message_copy(copy, &fake.platform);
    assert_non_null(second);
    sse_message_ref(copy);
    sse_message_unref(copy);
    assert_int_equal(fake.blocks, blocks + 2);
    sse_message_unref(copy);
    expect_equal(second, message);
    sse_message_unref(second);
    assert_int_equal(fake.blocks, blocks);
}

static void copies_equal_their_originals(void **state)
{
    const struct sse_event events[] = {{.data = sse_str("1"), .id = sse_str("one")},
                                       {.data = sse_str("2"), .id = sse_str("")},
                                       {.data = sse_str("3")}};
    struct sse_message *batch = new_message(events, 3), *plain = new_message(&events[2], 1);
    struct sse_message *unframed = make_head();
    struct small_message *small = allocate_small();

    (void)state;
    assert_true(sse_small_message_fits(sse_small_message_init(small, &events[0])));
    check_copy(batch);
    check_copy(plain);
    check_copy(unframed);
    check_copy(&small->message);
    check_copy(sse_message_heartbeat());
    check_copy(sse_message_last_chunk());
    sse_message_unref(batch);
    sse_message_unref(plain);
    sse_message_unref(unframed);
    free(small);
}

static void a_copy_of_a_small_message_outlives_it(void **state)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str("1")};
    struct small_message *small = allocate_small();
    struct sse_message *copy;

    (void)state;
    assert_true(sse_small_message_fits(sse_small_message_init(small, &event)));
    copy = sse_message_copy(&small->message, &fake.platform);
    assert_non_null(copy);
    free(small);
    expect_frame_string(copy, "data: x\nid: 1\n\n");
    expect_literal(sse_message_id(copy), "1");
    sse_message_unref(copy);
}

static void static_messages_have_their_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        expect_frame_string(sse_message_heartbeat(), ":\n");
        expect_literal(sse_message_wire(sse_message_heartbeat(), true), "2\r\n:\n\r\n");
        expect_literal(sse_message_wire(sse_message_last_chunk(), true), "0\r\n\r\n");
        sse_message_ref(sse_message_heartbeat());
        sse_message_ref(sse_message_last_chunk());
        for (int j = 0; j < 5; j++) {
            sse_message_unref(sse_message_heartbeat());
            sse_message_unref(sse_message_last_chunk());
        }
    }
    assert_int_equal(sse_message_heartbeat()->events, 0);
    assert_int_equal(sse_message_last_chunk()->events, 0);
    assert_null(sse_message_id(sse_message_heartbeat()).ptr);
    assert_null(sse_message_id(sse_message_last_chunk()).ptr);
}

static void a_head_is_never_in_a_chunk(void **state)
{
    const struct sse_http_options http = {.size = sizeof(http), .chunked = true};
    struct sse_message *message;
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), &http);

    (void)state;
    assert_in_range(size, 1, sizeof(head));
    assert_int_equal(sse_message_new_head(&message, &http, &fake.platform), 0);
    expect_text(sse_message_wire(message, false), head, (size_t)size);
    expect_text(sse_message_wire(message, true), head, (size_t)size);
    assert_int_equal(message->events, 0);
    assert_null(sse_message_id(message).ptr);
    sse_message_unref(message);
}

static void a_bad_head_is_refused(void **state)
{
    const struct sse_http_options chunked = {
        .size = sizeof(chunked), .version = SSE_HTTP_1_0, .chunked = true};
    struct sse_http_header header = {sse_str("x-large"), {NULL, SSE_EVENT_SIZE_MAX}};
    const struct sse_http_options large = {.size = sizeof(large), .headers = &header, .header_count = 1};
    struct sse_message *message = untouched;
    char *value = malloc(SSE_EVENT_SIZE_MAX);

    (void)state;
    assert_non_null(value);
    memset(value, 'v', SSE_EVENT_SIZE_MAX);
    header.value.ptr = value;
    assert_int_equal(sse_message_new_head(&message, &chunked, &fake.platform), -EINVAL);
    assert_int_equal(sse_message_new_head(&message, &large, &fake.platform), -EMSGSIZE);
    assert_ptr_equal(message, untouched);
    free(value);
}

/* The caller may change its memory after the call. The message does not change. */
static void messages_do_not_change(void **state)
{
    char id[] = "id-1", type[] = "type", data[] = "line\rline", comment[] = "note";
    static const char expected[] = ": note\nevent: type\ndata: line\ndata: line\nid: id-1\n\n";
    struct sse_event events[2] = {
        {.id = sse_str(id), .type = sse_str(type), .data = sse_str(data), .comment = sse_str(comment)},
        {.retry_ms = 0},
    };
    struct sse_message *message = new_message(events, 1);
    struct small_message *small = allocate_small();

    (void)state;
    assert_true(sse_small_message_fits(sse_small_message_init(small, events)));
    memset(id, '\n', sizeof(id) - 1);
    memset(type, '\n', sizeof(type) - 1);
    memset(data, '\n', sizeof(data) - 1);
    memset(comment, '\n', sizeof(comment) - 1);
    memset(events, 0xff, sizeof(events));
    expect_frame_string(message, expected);
    expect_frame_string(&small->message, expected);
    expect_literal(sse_message_id(message), "id-1");
    expect_literal(sse_message_id(&small->message), "id-1");
    sse_message_unref(message);
    free(small);
}

/* Every message uses the same block of memory, with the content of the last one in it. */
static union {
    max_align_t alignment;
    unsigned char bytes[1024];
} only_block;
static bool block_in_use;

static void *allocate_only_block(size_t size, void *user)
{
    (void)user;
    assert_false(block_in_use);
    assert_true(size <= sizeof(only_block));
    block_in_use = true;
    return &only_block;
}

static void release_only_block(void *block, void *user)
{
    (void)user;
    assert_true(block_in_use);
    assert_ptr_equal(block, &only_block);
    block_in_use = false;
}

static void reused_memory_leaves_no_trace(void **state)
{
    const struct sse_platform platform = {
        .size = sizeof(platform), .allocate = allocate_only_block, .deallocate = release_only_block};
    const struct sse_event with_id = {.data = sse_str("a longer text than the next"), .id = sse_str("1")};
    const struct sse_event comment = {.comment = sse_str("")};
    struct sse_message *message;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sse_message_new(&message, &with_id, 1, &platform), 0);
        expect_frame_string(message, "data: a longer text than the next\nid: 1\n\n");
        expect_literal(sse_message_id(message), "1");
        sse_message_unref(message);
        assert_false(block_in_use);

        assert_int_equal(sse_message_new(&message, &comment, 1, &platform), 0);
        expect_frame_string(message, ":\n");
        assert_null(sse_message_id(message).ptr);
        sse_message_unref(message);

        assert_int_equal(sse_message_new_head(&message, NULL, &platform), 0);
        assert_int_equal(sse_message_wire(message, true).len, sse_http_head(NULL, 0, NULL));
        assert_null(sse_message_id(message).ptr);
        assert_int_equal(message->events, 0);
        sse_message_unref(message);

        message = sse_message_copy(sse_message_heartbeat(), &platform);
        expect_frame_string(message, ":\n");
        assert_int_equal(message->events, 0);
        sse_message_ref(message);
        sse_message_unref(message);
        assert_true(block_in_use);
        sse_message_unref(message);
        assert_false(block_in_use);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_event_is_its_encoding, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(chunk_heads_are_the_size_in_hexadecimal, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(a_batch_is_one_frame, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(the_last_id_of_a_batch_wins, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(one_bad_event_spoils_the_batch, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(only_an_event_alone_has_a_key, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(the_limit_holds_for_the_batch, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(bad_arguments_are_refused, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(the_default_platform_serves, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(references_keep_a_message, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(each_allocation_may_fail, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(small_messages_fit_to_the_last_byte, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(small_messages_refuse_what_encoding_refuses, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(small_messages_know_their_id_and_count_no_references, set_up,
                                        check_no_leak),
        cmocka_unit_test_setup_teardown(copies_equal_their_originals, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(a_copy_of_a_small_message_outlives_it, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(static_messages_have_their_bytes, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(a_head_is_never_in_a_chunk, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(a_bad_head_is_refused, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(messages_do_not_change, set_up, check_no_leak),
        cmocka_unit_test_setup_teardown(reused_memory_leaves_no_trace, set_up, check_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

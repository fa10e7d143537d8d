/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event_source_parser.h"
#include "vectors.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const unsigned char canary = 0xa5;

static unsigned char *allocate(size_t size)
{
    unsigned char *bytes = malloc(size ? size : 1);

    assert_non_null(bytes);
    return bytes;
}

/* Copies a text to memory of exactly its size, so that sanitizers notice a read past the end. */
static struct sse_text exact_copy(const char *text, size_t length)
{
    char *copy = (char *)allocate(length);

    memcpy(copy, text, length);
    return (struct sse_text){.ptr = copy, .len = length};
}

static struct sse_text filled(char byte, size_t length)
{
    char *text = (char *)allocate(length);

    memset(text, byte, length);
    return (struct sse_text){.ptr = text, .len = length};
}

static void free_text(struct sse_text text)
{
    free((char *)(uintptr_t)text.ptr);
}

static bool is_untouched(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != canary)
            return false;
    }
    return true;
}

/* The place of a line within an event: comment, event, data, id, retry, blank; -1 for any other. */
static int rank_of_line(const char *line, size_t length)
{
    static const char *const names[] = {": ", "event: ", "data: ", "id: ", "retry: "};

    if (!length)
        return COUNT(names);
    if (length == 1 && line[0] == ':')
        return 0;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (length >= strlen(names[i]) && !memcmp(line, names[i], strlen(names[i])))
            return (int)i;
    }
    return -1;
}

/* Every LF ends a line of a kind that the event has, in the order of the protocol, and there is no CR. */
static void check_lines(const struct sse_event *event, const unsigned char *bytes, size_t size)
{
    const bool present[] = {event->comment.ptr, event->type.ptr, event->data.ptr,
                            event->id.ptr,      event->retry_ms, event->data.ptr || event->id.ptr};
    size_t lines[COUNT(present)] = {0};
    int last = 0;

    assert_null(memchr(bytes, '\r', size));
    assert_true(size > 0 && bytes[size - 1] == '\n');
    for (size_t at = 0; at < size;) {
        const unsigned char *line_feed = memchr(bytes + at, '\n', size - at);
        size_t length = (size_t)(line_feed - bytes) - at;
        int rank = rank_of_line((const char *)bytes + at, length);

        assert_true(rank >= last);
        lines[rank]++;
        last = rank;
        at += length + 1;
    }
    for (size_t i = 0; i < COUNT(present); i++) {
        assert_int_equal(lines[i] > 0, present[i]);
        assert_true(lines[i] <= 1 || i == 0 || i == 2);
    }
}

static void expect_untouched_if_small(const struct sse_event *event, size_t size, ssize_t result)
{
    unsigned char *small = allocate(size);

    memset(small, canary, size);
    assert_int_equal(sse_event_encode(event, small, size), result);
    assert_true(is_untouched(small, size));
    free(small);
}

/* Measures, tries a buffer that is one byte too small, and encodes into one of exactly the size. */
static struct sse_text encode(const struct sse_event *event)
{
    ssize_t size = sse_event_encode(event, NULL, 0);
    unsigned char *bytes;

    assert_true(size > 0);
    expect_untouched_if_small(event, (size_t)size - 1, size);
    bytes = allocate((size_t)size);
    assert_int_equal(sse_event_encode(event, bytes, (size_t)size), size);
    check_lines(event, bytes, (size_t)size);
    return (struct sse_text){.ptr = (const char *)bytes, .len = (size_t)size};
}

static void expect_error(const struct sse_event *event, int error)
{
    assert_int_equal(sse_event_encode(event, NULL, 0), error);
    expect_untouched_if_small(event, 1, error);
    expect_untouched_if_small(event, 512, error);
}

/* Encodes into a larger buffer, whose rest must not change. */
static void expect_wire(const struct sse_event *event, const char *expected, size_t size)
{
    struct sse_text wire = encode(event);
    unsigned char roomy[256];

    assert_int_equal(wire.len, size);
    assert_memory_equal(wire.ptr, expected, size);
    memset(roomy, canary, sizeof(roomy));
    assert_int_equal(sse_event_encode(event, roomy, sizeof(roomy)), size);
    assert_true(is_untouched(roomy + size, sizeof(roomy) - size));
    free_text(wire);
}

static struct sse_text text_of(const struct vector_text *text)
{
    return (struct sse_text){.ptr = text->present ? text->bytes : NULL, .len = text->length};
}

static struct sse_event event_of(const struct vector_event *from)
{
    return (struct sse_event){
        .id = text_of(&from->id),
        .type = text_of(&from->type),
        .data = text_of(&from->data),
        .comment = text_of(&from->comment),
        .retry_ms = from->has_retry ? from->retry : 0,
    };
}

/* The bytes are exactly those of the row, and a client reports what the row says. Fault 2. */
static void encodes_row(void **state)
{
    const struct vector *row = *state;
    struct event_source_recorder *recorder = event_source_recorder_new();
    size_t at = 0;

    if (row->kind == VECTOR_UNREADABLE)
        fail_msg("line %zu, %s: %s", row->line, row->name, row->problem);
    for (size_t i = 0; i < row->event_count; i++) {
        const struct sse_event event = event_of(&row->events[i]);
        struct sse_text wire = encode(&event);

        for (size_t size = 0; size < wire.len && size < 300; size++)
            expect_untouched_if_small(&event, size, (ssize_t)wire.len);
        assert_true(wire.len <= row->wire.length - at);
        assert_memory_equal(wire.ptr, row->wire.bytes + at, wire.len);
        event_source_recorder_feed(recorder, wire.ptr, wire.len);
        at += wire.len;
        free_text(wire);
    }
    assert_int_equal(at, row->wire.length);
    assert_string_equal(event_source_recorder_text(recorder), row->dispatch);
    event_source_recorder_free(recorder);
}

/* Fault 1. */
static void rejects_row(void **state)
{
    const struct vector *row = *state;

    assert_true(row->event_count > 0 && row->expected_error > 0);
    for (size_t i = 0; i < row->event_count; i++) {
        const struct sse_event event = event_of(&row->events[i]);

        expect_error(&event, -row->expected_error);
    }
}

/* What a client must dispatch next. */
struct client {
    size_t dispatched;
    struct sse_text type, data, id;
};

static void expect_text(struct sse_text expected, const char *text, size_t length)
{
    assert_int_equal(length, expected.len);
    assert_memory_equal(text, expected.ptr, length);
}

static void dispatch(const struct event_source_event *event, void *user)
{
    struct client *client = user;

    client->dispatched++;
    expect_text(client->type, event->type, event->type_length);
    expect_text(client->data, event->data, event->data_length);
    expect_text(client->id, event->last_event_id, event->last_event_id_length);
}

/* A client parses the event, then a plain one. It must report the first as expected (absent data means no report),
 * and the second unchanged. */
static void expect_client(const struct sse_event *event, struct sse_text type, struct sse_text data,
                          struct sse_text id)
{
    struct client client = {.type = type, .data = data, .id = id};
    struct event_source_parser *parser = event_source_parser_new(dispatch, &client);
    struct sse_text wire = encode(event);

    event_source_parser_feed(parser, wire.ptr, wire.len);
    assert_int_equal(client.dispatched, data.ptr ? 1 : 0);
    client = (struct client){.type = sse_str("message"), .data = sse_str("after"), .id = id};
    event_source_parser_feed(parser, "data: after\n\n", 13);
    assert_int_equal(client.dispatched, 1);
    event_source_parser_free(parser);
    free_text(wire);
}

/* The data as clients report them: CR LF and CR have become LF. */
static struct sse_text normalised(struct sse_text data)
{
    char *text = data.ptr ? (char *)allocate(data.len) : NULL;
    size_t length = 0;

    for (size_t i = 0; i < data.len; i++) {
        if (data.ptr[i] == '\n' && i > 0 && data.ptr[i - 1] == '\r')
            continue;
        text[length++] = data.ptr[i];
        if (data.ptr[i] == '\r')
            text[length - 1] = '\n';
    }
    return (struct sse_text){.ptr = text, .len = length};
}

/* All texts of up to five of these symbols. */
static void for_each_short_text(void (*check)(struct sse_text text))
{
    static const struct sse_text symbols[] = {
        {"a", 1}, {" ", 1}, {":", 1}, {"\r", 1}, {"\n", 1}, {"\0", 1}, {"\xe2\x80\xa8", 3}, {"\t", 1}};

    for (size_t count = 0; count <= 5; count++) {
        for (size_t way = 0; way < (size_t)1 << (3 * count); way++) {
            char text[32];
            struct sse_text copy;
            size_t length = 0;

            for (size_t i = 0; i < count; i++) {
                struct sse_text symbol = symbols[way >> (3 * i) & 7];

                memcpy(text + length, symbol.ptr, symbol.len);
                length += symbol.len;
            }
            copy = exact_copy(text, length);
            check(copy);
            free_text(copy);
        }
    }
}

static void check_data(struct sse_text text)
{
    struct sse_text expected = normalised(text);

    expect_client(&(struct sse_event){.data = text}, sse_str("message"), expected, sse_str(""));
    free_text(expected);
}

static void check_comment(struct sse_text text)
{
    expect_client(&(struct sse_event){.comment = text}, sse_str(""), sse_str(NULL), sse_str(""));
}

static void check_id(struct sse_text text)
{
    const struct sse_event event = {.id = text, .data = sse_str("x")};
    bool valid = true;

    for (size_t i = 0; i < text.len; i++)
        valid = valid && (unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f;
    if (text.len)
        valid = valid && text.ptr[0] != ' ' && text.ptr[text.len - 1] != ' ';
    if (!valid)
        expect_error(&event, -EINVAL);
    else
        expect_client(&event, sse_str("message"), sse_str("x"), text);
}

static void check_type(struct sse_text text)
{
    const struct sse_event event = {.type = text, .data = sse_str("x")};
    bool valid = true;

    for (size_t i = 0; i < text.len; i++)
        valid = valid && text.ptr[i] != '\r' && text.ptr[i] != '\n' && text.ptr[i] != '\0';
    if (!valid)
        expect_error(&event, -EINVAL);
    else
        expect_client(&event, text.len ? text : sse_str("message"), sse_str("x"), sse_str(""));
}

/* The event arrives, has no effect, or is refused. */
static void check_each_field(struct sse_text text)
{
    check_data(text);
    check_comment(text);
    check_id(text);
    check_type(text);
}

static void all_short_texts_in_each_field(void **state)
{
    (void)state;
    for_each_short_text(check_each_field);
}

/* Fault 3. */
static void each_byte_in_id_and_type(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x80; byte++) {
        for (size_t place = 0; place < 3; place++) {
            char text[] = {'a', 'b', 'c'};
            struct sse_text copy;

            text[place] = (char)byte;
            copy = exact_copy(text, sizeof(text));
            check_id(copy);
            check_type(copy);
            free_text(copy);
        }
    }
}

/* The forms of a field, beginning with absent, and the lines of each. */
struct form {
    struct sse_text text;
    const char *lines;
};

static const struct form comments[] = {{{NULL, 0}, ""}, {{"", 0}, ":\n"}, {{"c\r\nd\r", 5}, ": c\n: d\n:\n"}};
static const struct form types[] = {{{NULL, 0}, ""}, {{"", 0}, "event: \n"}, {{" t", 2}, "event:  t\n"}};
static const struct form datas[] = {
    {{NULL, 0}, ""}, {{"", 0}, "data: \n"}, {{"x\n\ry", 4}, "data: x\ndata: \ndata: y\n"}};
static const struct form ids[] = {{{NULL, 0}, ""}, {{"", 0}, "id: \n"}, {{"i: d", 4}, "id: i: d\n"}};

/* The place of the id. Only retry and the blank line follow it. */
static void check_id_line(const struct sse_event *event)
{
    struct sse_text wire = encode(event);
    struct event_layout layout;
    const char *at;

    assert_int_equal(sse_event_measure(event, &layout), 0);
    assert_int_equal(layout.size, wire.len);
    assert_true(layout.id_line < wire.len);
    at = wire.ptr + layout.id_line;
    if (event->id.ptr) {
        assert_memory_equal(at, "id: ", 4);
        assert_memory_equal(at + 4, event->id.ptr, event->id.len);
        at += 4 + event->id.len;
        assert_int_equal(*at++, '\n');
    }
    if (event->retry_ms)
        at = (const char *)memchr(at, '\n', (size_t)(wire.ptr + wire.len - at)) + 1;
    if (event->data.ptr || event->id.ptr)
        at++;
    assert_ptr_equal(at, wire.ptr + wire.len);
    free_text(wire);
}

static void check_combination(const struct form *comment, const struct form *type, const struct form *data,
                              const struct form *id, bool retry)
{
    const struct sse_event event = {
        .comment = comment->text,
        .type = type->text,
        .data = data->text,
        .id = id->text,
        .retry_ms = retry ? 1500 : 0,
    };
    bool dispatched = data->text.ptr || id->text.ptr;
    struct sse_text normal = normalised(data->text);
    char expected[128];

    if ((type->text.ptr && !data->text.ptr) || (!dispatched && !comment->text.ptr && !retry)) {
        expect_error(&event, -EINVAL);
        free_text(normal);
        return;
    }
    snprintf(expected, sizeof(expected), "%s%s%s%s%s%s", comment->lines, type->lines, data->lines, id->lines,
             retry ? "retry: 1500\n" : "", dispatched ? "\n" : "");
    expect_wire(&event, expected, strlen(expected));
    expect_client(&event, type->text.len ? type->text : sse_str("message"), normal,
                  id->text.ptr ? id->text : sse_str(""));
    if (dispatched)
        check_id_line(&event);
    free_text(normal);
}

static void all_combinations_of_fields(void **state)
{
    (void)state;
    for (size_t way = 0; way < 3 * 3 * 3 * 3 * 2; way++)
        check_combination(&comments[way % 3], &types[way / 3 % 3], &datas[way / 9 % 3], &ids[way / 27 % 3],
                          way / 81);
}

static void retry_is_decimal_within_its_range(void **state)
{
    static const int64_t valid[] = {1, 9, 10, 99, 100, 3000, 65535, 999999999, 1000000000, SSE_RETRY_MAX};
    static const int64_t invalid[] = {-1, INT64_MIN, SSE_RETRY_MAX + 1, INT64_C(4294967297), INT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        char expected[64];

        snprintf(expected, sizeof(expected), "retry: %lld\n", (long long)valid[i]);
        expect_wire(&(struct sse_event){.retry_ms = valid[i]}, expected, strlen(expected));
    }
    for (size_t i = 0; i < COUNT(invalid); i++)
        expect_error(&(struct sse_event){.retry_ms = invalid[i], .data = sse_str("x")}, -ERANGE);
}

static void set_field(struct sse_event *event, size_t field, struct sse_text text)
{
    struct sse_text *const fields[] = {&event->data, &event->comment, &event->id, &event->type};

    *fields[field] = text;
    if (field == 3)
        event->data = sse_str("");
}

#define FIELD_COUNT 4

static void null_is_refused(void **state)
{
    unsigned char buffer[16];

    (void)state;
    assert_int_equal(sse_event_encode(NULL, NULL, 0), -EINVAL);
    assert_int_equal(sse_event_encode(NULL, buffer, sizeof(buffer)), -EINVAL);
    assert_int_equal(sse_event_encode(&(struct sse_event){.data = sse_str("x")}, NULL, 1), -EINVAL);
    assert_int_equal(sse_event_encode(&(struct sse_event){.data = sse_str("x")}, NULL, SIZE_MAX), -EINVAL);
    expect_error(&(struct sse_event){.retry_ms = 0}, -EINVAL);
    expect_error(&(struct sse_event){.trusted_utf8 = true}, -EINVAL);
    for (size_t field = 0; field < FIELD_COUNT; field++) {
        static const size_t lengths[] = {1, 2, 1000, SIZE_MAX};

        for (size_t i = 0; i < COUNT(lengths); i++) {
            struct sse_event event = {.retry_ms = 5};

            set_field(&event, field, (struct sse_text){.ptr = NULL, .len = lengths[i]});
            expect_error(&event, -EINVAL);
        }
    }
}

/* Clients send an id back in a header, so it must be short enough for every server. */
static void ids_have_a_limit(void **state)
{
    struct sse_event event = {.id = filled('i', SSE_ID_SIZE_MAX + 1)};

    (void)state;
    expect_error(&event, -EMSGSIZE);
    event.id.len = SSE_ID_SIZE_MAX;
    assert_int_equal(sse_event_encode(&event, NULL, 0), SSE_ID_SIZE_MAX + strlen("id: \n\n"));
    free_text(event.id);
}

/* A key is not sent. It changes no byte, and has its own limit. */
static void keys_have_their_own_limit(void **state)
{
    struct sse_text key = filled('k', SSE_KEY_SIZE_MAX + 1);
    struct sse_event event = {.data = sse_str("x"), .key = key};

    (void)state;
    expect_error(&event, -EMSGSIZE);
    event.key.len = SSE_KEY_SIZE_MAX;
    expect_wire(&event, "data: x\n\n", 9);
    event.key.len = 0;
    expect_wire(&event, "data: x\n\n", 9);
    event.key = (struct sse_text){.ptr = "\n\0\xff", .len = 3};
    expect_wire(&event, "data: x\n\n", 9);
    event.key = (struct sse_text){.ptr = NULL, .len = 1};
    expect_error(&event, -EINVAL);
    event.key.len = SIZE_MAX;
    expect_error(&event, -EINVAL);
    expect_error(&(struct sse_event){.key = {.ptr = "k", .len = 1}}, -EINVAL);
    free_text(key);
}

/* Fault 4. */
static void bytes_that_are_not_utf8_need_trust(void **state)
{
    static const char *const names[FIELD_COUNT] = {"data: ", ": ", "id: ", "event: "};
    static const char *const texts[] = {"\xff", "a\x80z", "\xc3", "\xed\xa0\x80", "\xe2\x80", "\xc0\xaf"};

    (void)state;
    for (size_t field = 0; field < FIELD_COUNT; field++) {
        for (size_t i = 0; i < COUNT(texts); i++) {
            struct sse_event event = {.retry_ms = 5};
            struct sse_text text = exact_copy(texts[i], strlen(texts[i]));
            struct sse_text wire;
            char expected[64];

            set_field(&event, field, text);
            expect_error(&event, -EILSEQ);
            event.trusted_utf8 = true;
            wire = encode(&event);
            snprintf(expected, sizeof(expected), "%s%s\n", names[field], texts[i]);
            assert_memory_equal(wire.ptr, expected, strlen(expected));
            free_text(wire);
            free_text(text);
        }
    }
    /* The end of one field and the beginning of the next do not make a character. Neither do the bytes around a
     * line end. */
    expect_error(&(struct sse_event){.data = sse_str("\xa9"), .type = sse_str("\xc3")}, -EILSEQ);
    expect_error(&(struct sse_event){.data = sse_str("\xc3\n\xa9")}, -EILSEQ);
}

static void trust_covers_nothing_but_utf8(void **state)
{
    static const struct {
        struct sse_event event;
        int error;
    } rows[] = {
        {{.data = {"x", 1}, .id = {"\xff\n", 2}}, -EINVAL},
        {{.data = {"x", 1}, .id = {"\0\xff", 2}}, -EINVAL},
        {{.data = {"x", 1}, .id = {" \xff", 2}}, -EINVAL},
        {{.data = {"x", 1}, .type = {"\xff\r", 2}}, -EINVAL},
        {{.data = {"x", 1}, .type = {"\xff\0", 2}}, -EINVAL},
        {{.type = {"\xff", 1}}, -EINVAL},
        {{.data = {"\xff", 1}, .retry_ms = -1}, -ERANGE},
        {{.data = {"\xff", 1}, .retry_ms = SSE_RETRY_MAX + 1}, -ERANGE},
    };
    static const char expected[] = "data: \xe2\ndata: \x80\ndata: \xff\n\n";

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_event event = rows[i].event;

        event.trusted_utf8 = true;
        expect_error(&event, rows[i].error);
    }
    expect_wire(&(struct sse_event){.data = sse_str("\xe2\r\x80\r\n\xff"), .trusted_utf8 = true}, expected,
                sizeof(expected) - 1);
}

static char *map_unreadable(void)
{
    int fd = open("/dev/zero", O_RDONLY);
    void *page;

    assert_true(fd >= 0);
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE, fd, 0);
    assert_true(page != MAP_FAILED);
    close(fd);
    return page;
}

/* The lengths wrap around to a small sum, alone or with the field names. Fault 5. */
static void texts_that_are_too_long_are_not_read(void **state)
{
    static const struct {
        size_t length;
        int error;
    } texts[] = {{SIZE_MAX, -EOVERFLOW},     {SIZE_MAX - 1, -EOVERFLOW},
                 {SIZE_MAX - 5, -EOVERFLOW}, {SIZE_MAX / 2 + 2, -EOVERFLOW},
                 {SIZE_MAX / 2, -EOVERFLOW}, {SIZE_MAX / 7 + 1, -EOVERFLOW},
                 {SIZE_MAX / 64, -EMSGSIZE}, {SSE_EVENT_SIZE_MAX + 1, -EMSGSIZE}};
    static const size_t sums[][FIELD_COUNT] = {
        {SIZE_MAX, 1, 0, 0},
        {1, 0, SIZE_MAX, 0},
        {SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, 0, 0},
        {2, 0, SIZE_MAX, SIZE_MAX},
        {SIZE_MAX / 4 + 1, SIZE_MAX / 4 + 1, SIZE_MAX / 4 + 1, SIZE_MAX / 4 + 1},
        {SIZE_MAX / 16, SIZE_MAX / 16, 0, 0},
    };
    char *unreadable = map_unreadable();

    (void)state;
    for (size_t way = 0; way < 2 * FIELD_COUNT * COUNT(texts); way++) {
        struct sse_event event = {.trusted_utf8 = way % 2};

        set_field(&event, way / 2 % FIELD_COUNT,
                  (struct sse_text){unreadable, texts[way / 2 / FIELD_COUNT].length});
        expect_error(&event, texts[way / 2 / FIELD_COUNT].error);
    }
    for (size_t i = 0; i < COUNT(sums); i++)
        expect_error(&(struct sse_event){.data = {unreadable, sums[i][0]},
                                         .comment = {unreadable, sums[i][1]},
                                         .id = {unreadable, sums[i][2]},
                                         .type = {unreadable, sums[i][3]}},
                     -EOVERFLOW);
    assert_int_equal(munmap(unreadable, 4096), 0);
}

/* One byte more than the limit is refused, and the limit itself is accepted. */
static void check_limit(const struct sse_event *largest, const struct sse_event *too_large)
{
    unsigned char *bytes = allocate(SSE_EVENT_SIZE_MAX);

    assert_int_equal(sse_event_encode(largest, NULL, 0), SSE_EVENT_SIZE_MAX);
    assert_int_equal(sse_event_encode(largest, bytes, SSE_EVENT_SIZE_MAX), SSE_EVENT_SIZE_MAX);
    check_lines(largest, bytes, SSE_EVENT_SIZE_MAX);
    memset(bytes, canary, 64);
    assert_int_equal(sse_event_encode(too_large, NULL, 0), -EMSGSIZE);
    assert_int_equal(sse_event_encode(too_large, bytes, SSE_EVENT_SIZE_MAX), -EMSGSIZE);
    assert_true(is_untouched(bytes, 64));
    free(bytes);
}

static void the_limit_is_exact_for_each_field(void **state)
{
    /* The limit includes field names, the blank line and other fields. Ids have their own limit. */
    static const size_t beside[FIELD_COUNT] = {sizeof("data: \n\n") - 1, sizeof(": \n") - 1, 0,
                                               sizeof("event: \ndata: \n\n") - 1};

    (void)state;
    for (size_t field = 0; field < FIELD_COUNT; field++) {
        struct sse_event largest = {.retry_ms = 0}, too_large = {.retry_ms = 0};
        struct sse_text text;

        if (!beside[field])
            continue;
        text = filled('a', SSE_EVENT_SIZE_MAX - beside[field] + 1);
        set_field(&too_large, field, text);
        set_field(&largest, field, (struct sse_text){.ptr = text.ptr, .len = text.len - 1});
        check_limit(&largest, &too_large);
        free_text(text);
    }
}

static struct sse_text repeated(const char *pattern, size_t count, size_t letters)
{
    size_t size = strlen(pattern);
    struct sse_text text = filled('a', size * count + letters);

    for (size_t i = 0; i < count; i++)
        memcpy((char *)(uintptr_t)text.ptr + size * i, pattern, size);
    return text;
}

/* With this many line ends, a search from each of them to the end of the text would not finish. */
static void the_limit_counts_the_encoded_lines(void **state)
{
    static const struct {
        const char *pattern;
        size_t line_ends; /* in the pattern */
    } rows[] = {{"\n", 1}, {"\r", 1}, {"\n\r\r\n", 3}};
    const size_t count = SSE_EVENT_SIZE_MAX / 256;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t line_ends = rows[i].line_ends * count;
        size_t data_letters = SSE_EVENT_SIZE_MAX - 7 * (line_ends + 1) - 1;
        size_t comment_letters = SSE_EVENT_SIZE_MAX - 2 * line_ends - 3;
        struct sse_text data = repeated(rows[i].pattern, count, data_letters + 1);
        struct sse_text comment = repeated(rows[i].pattern, count, comment_letters + 1);
        struct sse_text less_data = {.ptr = data.ptr, .len = data.len - 1};
        struct sse_text less_comment = {.ptr = comment.ptr, .len = comment.len - 1};

        check_limit(&(struct sse_event){.data = less_data}, &(struct sse_event){.data = data});
        check_limit(&(struct sse_event){.comment = less_comment}, &(struct sse_event){.comment = comment});
        free_text(data);
        free_text(comment);
    }
}

static const struct CMUnitTest direct_tests[] = {
    cmocka_unit_test(all_short_texts_in_each_field),
    cmocka_unit_test(each_byte_in_id_and_type),
    cmocka_unit_test(all_combinations_of_fields),
    cmocka_unit_test(retry_is_decimal_within_its_range),
    cmocka_unit_test(null_is_refused),
    cmocka_unit_test(ids_have_a_limit),
    cmocka_unit_test(keys_have_their_own_limit),
    cmocka_unit_test(bytes_that_are_not_utf8_need_trust),
    cmocka_unit_test(trust_covers_nothing_but_utf8),
    cmocka_unit_test(texts_that_are_too_long_are_not_read),
    cmocka_unit_test(the_limit_is_exact_for_each_field),
    cmocka_unit_test(the_limit_counts_the_encoded_lines),
};

/* One test for each row about the encoder, and for each unreadable row. */
static int run_rows(struct vector *rows, size_t count)
{
    static const CMUnitTestFunction functions[] = {
        [VECTOR_ENCODE] = encodes_row,
        [VECTOR_REJECT] = rejects_row,
        [VECTOR_UNREADABLE] = encodes_row,
    };
    struct CMUnitTest *tests = calloc(count + 1, sizeof(*tests));
    size_t encoded = 0, rejected = 0, test_count = 0;
    int failed;

    if (!tests)
        return 1;
    for (size_t i = 0; i < count; i++) {
        encoded += rows[i].kind == VECTOR_ENCODE;
        rejected += rows[i].kind == VECTOR_REJECT;
        if (functions[rows[i].kind])
            tests[test_count++] = (struct CMUnitTest){
                .name = rows[i].name, .test_func = functions[rows[i].kind], .initial_state = &rows[i]};
    }
    failed = _cmocka_run_group_tests("rows", tests, test_count, NULL, NULL);
    if (!encoded || !rejected)
        fprintf(stderr, "no rows to encode, or none to reject\n");
    free(tests);
    return encoded && rejected ? failed : 1;
}

int main(void)
{
    const char *path = getenv("SSE_TEST_VECTORS");
    struct vector *rows = NULL;
    size_t count = 0;
    int failed = vectors_load(path ? path : "test/vectors/conformance.tsv", &rows, &count);

    if (failed)
        fprintf(stderr, "vectors: %s\n", strerror(-failed));
    failed |= cmocka_run_group_tests(direct_tests, NULL, NULL);
    failed |= run_rows(rows, count);
    vectors_free(rows, count);
    return failed ? 1 : 0;
}

/* SPDX-License-Identifier: MIT */
/* Compares sse_http_parameter and sse_http_last_event_id with a reader that first splits the whole query, as the
 * URL standard does. */

#include "event_reference.h"
#include "input.h"

#include <sse/http.h>
#include <strings.h>

#define PAIRS_MAX 4096
#define CANARY 0xa5
/* Each call reads the whole query, so the first parameters are enough. */
#define VALUES_MAX 4

/** A name and a value, decoded. */
struct pair {
    struct sse_text name, value;
    bool name_is_broken, value_is_broken; /* a % without two digits, which stays as it is here */
};

static int hex_digit(char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = byte ? strchr(digits, byte >= 'A' && byte <= 'F' ? byte + 32 : byte) : NULL;

    return found ? (int)(found - digits) : -1;
}

static struct sse_text decode(struct fuzz_texts *texts, const char *at, const char *end, bool *broken)
{
    char *bytes = fuzz_room(texts, (size_t)(end - at));
    struct sse_text decoded = {.ptr = bytes};

    for (*broken = false; at < end; at++) {
        bool escape = *at == '%' && end - at > 2 && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0;

        *broken |= *at == '%' && !escape;
        bytes[decoded.len++] =
            escape ? (char)(hex_digit(at[1]) * 16 + hex_digit(at[2])) : (char)(*at == '+' ? ' ' : *at);
        at += escape ? 2 : 0;
    }
    return decoded;
}

static size_t split(struct fuzz_texts *texts, struct sse_text query, struct pair *pairs)
{
    const char *at = query.ptr, *end = query.ptr + query.len;
    size_t count = 0;

    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        const char *stop = next ? next : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));

        if (stop > at) {
            struct pair *pair = &pairs[count++];

            pair->name = decode(texts, at, equals ? equals : stop, &pair->name_is_broken);
            pair->value = decode(texts, equals ? equals + 1 : stop, stop, &pair->value_is_broken);
        }
        at = next ? next + 1 : end;
    }
    return count;
}

static bool is_text(const struct pair *pair)
{
    return !pair->value_is_broken && !memchr(pair->value.ptr, '\0', pair->value.len) &&
           event_reference_is_utf8(pair->value);
}

/* Calls with room for `size` bytes, in memory of that size. */
static void check_room(struct sse_text query, const char *name, size_t index, ssize_t expected,
                       struct sse_text value, size_t size)
{
    struct fuzz_texts texts = {.blocks = NULL};
    unsigned char *buffer = fuzz_room(&texts, size);
    ssize_t result;
    size_t written;

    memset(buffer, CANARY, size);
    result = sse_http_parameter(query, name, index, buffer, size);
    written = result >= 0 && (size_t)result <= size ? (size_t)result : 0;
    fuzz_expect(result == expected, "parameter %zu: %zd, not %zd", index, result, expected);
    fuzz_expect(!written || !memcmp(buffer, value.ptr, written), "parameter %zu: another value", index);
    for (size_t i = written; i < size; i++)
        fuzz_expect(buffer[i] == CANARY, "parameter %zu: a byte too many", index);
    fuzz_texts_free(&texts);
}

static void check_value(struct sse_text query, const char *name, size_t index, const struct pair *pair)
{
    ssize_t expected = is_text(pair) ? (ssize_t)pair->value.len : -EILSEQ;

    fuzz_expect(sse_http_parameter(query, name, index, NULL, 0) == expected, "parameter %zu: no size", index);
    check_room(query, name, index, expected, pair->value, pair->value.len);
    check_room(query, name, index, expected, pair->value, pair->value.len + 1);
    if (pair->value.len)
        check_room(query, name, index, expected, pair->value, pair->value.len - 1);
}

static void check_parameter(struct sse_text query, const char *name, const struct pair *pairs, size_t count)
{
    size_t index = 0;

    for (size_t i = 0; i < count; i++) {
        if (pairs[i].name_is_broken || !fuzz_same(pairs[i].name, sse_str(name)))
            continue;
        if (index < VALUES_MAX)
            check_value(query, name, index, &pairs[i]);
        index++;
    }
    check_room(query, name, index, -ENOENT, sse_str(""), 8);
}

static bool names_id(const struct pair *pair)
{
    return (pair->name.len == 11 && !strncasecmp(pair->name.ptr, "lasteventid", 11)) ||
           (pair->name.len == 13 && !strncasecmp(pair->name.ptr, "last-event-id", 13));
}

static struct sse_text trim(struct sse_text text)
{
    while (text.len && strchr(" \t", text.ptr[0]) && text.ptr[0])
        text = (struct sse_text){.ptr = text.ptr + 1, .len = text.len - 1};
    while (text.len && strchr(" \t", text.ptr[text.len - 1]) && text.ptr[text.len - 1])
        text.len--;
    return text;
}

static void check_id_in(struct sse_text header, struct sse_text query, struct sse_text id, size_t size)
{
    struct fuzz_texts texts = {.blocks = NULL};
    char *buffer = fuzz_room(&texts, size);
    size_t expected = id.len < size ? id.len : size;
    bool cut = id.len > size;
    ssize_t result = sse_http_last_event_id(header, query, buffer, size);

    fuzz_expect(result == (ssize_t)expected, "an id of %zu bytes in %zu: %zd", id.len, size, result);
    fuzz_expect(!memcmp(buffer, id.ptr, expected - cut), "another id");
    fuzz_expect(!cut || !buffer[size - 1], "a cut id does not end in NUL");
    fuzz_texts_free(&texts);
}

static void check_id(struct sse_text header, struct sse_text query, const struct pair *pairs, size_t count)
{
    struct sse_text id = header.ptr ? trim(header) : sse_str("");

    for (size_t i = 0; i < count && !header.ptr; i++)
        id = names_id(&pairs[i]) ? pairs[i].value : id;
    check_id_in(header, query, id, id.len + 1);
    if (id.len)
        check_id_in(header, query, id, id.len);
    check_id_in(header, query, id, 1 + id.len / 2);
}

/* A name that is a string. */
static const char *draw_name(struct fuzz_input *input, struct fuzz_texts *texts, const struct pair *pairs,
                             size_t count)
{
    struct sse_text name = sse_str("topic");
    char *string;

    if (count && fuzz_one_in(input, 2))
        name = pairs[fuzz_below(input, 256) % count].name;
    else if (fuzz_one_in(input, 2))
        name = fuzz_text(input, texts);
    string = fuzz_room(texts, name.len + 1);
    memcpy(string, name.ptr, name.len);
    return string;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pair pairs[PAIRS_MAX];
    struct fuzz_input input = {.at = data, .end = data + size};
    struct fuzz_texts texts = {.blocks = NULL};
    struct sse_text query = fuzz_text(&input, &texts);
    struct sse_text header = {.ptr = NULL};
    size_t count = split(&texts, query, pairs);

    if (fuzz_one_in(&input, 2))
        header = fuzz_text(&input, &texts);
    check_id(header, query, pairs, count);
    check_parameter(query, draw_name(&input, &texts, pairs, count), pairs, count);
    fuzz_expect(sse_http_parameter((struct sse_text){.ptr = NULL}, "a", 0, NULL, 0) == -ENOENT,
                "an absent query has a parameter");
    fuzz_texts_free(&texts);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include <sse/http.h>

#include "wire/id.h"
#include "wire/text.h"
#include "wire/utf8.h"

#include <errno.h>
#include <limits.h>

/*
 * Accept. Every function below reads from the front of `rest` and takes off what it has read; each
 * byte is looked at a fixed number of times, so that a hostile value costs linear time.
 */

/* How closely a media range names text/event-stream; a closer one overrules. */
enum closeness { UNRELATED, ANY_TYPE, ANY_TEXT, EXACT_TYPE };

struct media_range {
    struct sse_str type;
    struct sse_str subtype;
    bool fits;    /* no parameter but those of an event stream */
    bool refused; /* a weight of zero */
};

static struct sse_str take(struct sse_str *rest, size_t length)
{
    struct sse_str taken = {.ptr = rest->ptr, .len = length};

    rest->ptr += length;
    rest->len -= length;
    return taken;
}

static bool take_byte(struct sse_str *rest, char byte)
{
    if (rest->len == 0 || rest->ptr[0] != byte)
        return false;
    take(rest, 1);
    return true;
}

static void skip_space(struct sse_str *rest)
{
    while (take_byte(rest, ' ') || take_byte(rest, '\t')) {
    }
}

static bool take_token(struct sse_str *rest, struct sse_str *token)
{
    *token = take(rest, sse_text_token_length(*rest));
    return token->len > 0;
}

/* Takes the quoted string at the start; false if it has no end, and then all of the text is gone. */
static bool take_quoted(struct sse_str *rest, struct sse_str *content)
{
    size_t length = 1;

    while (length < rest->len && rest->ptr[length] != '"')
        length += rest->ptr[length] == '\\' ? 2 : 1;
    if (length >= rest->len) {
        take(rest, rest->len);
        return false;
    }
    content->ptr = rest->ptr + 1;
    content->len = length - 1;
    take(rest, length + 1);
    return true;
}

/* Takes the list element at the start, and the comma after it. */
static struct sse_str take_element(struct sse_str *rest)
{
    struct sse_str element = *rest;
    struct sse_str content;

    while (rest->len > 0 && rest->ptr[0] != ',')
        if (rest->ptr[0] == '"')
            take_quoted(rest, &content);
        else
            take(rest, 1);
    element.len -= rest->len;
    take_byte(rest, ',');
    return sse_text_trim(element);
}

/* A backslash cannot occur in a token, so that tokens may be compared as if they were quoted. */
static bool value_is_utf_8(struct sse_str value)
{
    char plain[sizeof("utf-8")];
    size_t length = 0;

    while (value.len > 0 && length < sizeof(plain)) {
        take_byte(&value, '\\');
        if (value.len > 0)
            plain[length++] = *take(&value, 1).ptr;
    }
    return sse_text_equals_ignoring_case((struct sse_str){.ptr = plain, .len = length}, "utf-8");
}

/*
 * A weight from 0 to 1. More lenient than the grammar: any number of decimals, and none before the
 * point, since Java's HttpURLConnection sends q=.2.
 */
static bool read_weight(struct sse_str text, bool *is_zero)
{
    bool one = take_byte(&text, '1');
    bool digit = one || take_byte(&text, '0');
    bool decimals = false; /* other than zeros */

    if (take_byte(&text, '.')) {
        while (text.len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9') {
            digit = true;
            decimals = decimals || text.ptr[0] != '0';
            take(&text, 1);
        }
    }
    *is_zero = !one && !decimals;
    return digit && text.len == 0 && !(one && decimals);
}

static bool take_parameter(struct sse_str *rest, struct media_range *range)
{
    struct sse_str name;
    struct sse_str value;
    bool quoted;

    if (!take_token(rest, &name) || !take_byte(rest, '='))
        return false;
    quoted = rest->len > 0 && rest->ptr[0] == '"';
    if (quoted ? !take_quoted(rest, &value) : !take_token(rest, &value))
        return false;
    if (sse_text_equals_ignoring_case(name, "q"))
        return !quoted && read_weight(value, &range->refused);
    /* The only parameter that is registered for the type, with its only value. */
    range->fits = range->fits && sse_text_equals_ignoring_case(name, "charset") && value_is_utf_8(value);
    return true;
}

static bool read_media_range(struct sse_str element, struct media_range *range)
{
    *range = (struct media_range){.fits = true};
    if (!take_token(&element, &range->type) || !take_byte(&element, '/') ||
        !take_token(&element, &range->subtype))
        return false;
    skip_space(&element);
    while (element.len > 0) {
        if (!take_byte(&element, ';'))
            return false;
        skip_space(&element);
        if (element.len > 0 && element.ptr[0] != ';' && !take_parameter(&element, range))
            return false;
        skip_space(&element);
    }
    return true;
}

static enum closeness closeness_of(const struct media_range *range)
{
    bool any_subtype = sse_text_equals_ignoring_case(range->subtype, "*");

    if (!range->fits)
        return UNRELATED;
    if (sse_text_equals_ignoring_case(range->type, "*"))
        return any_subtype ? ANY_TYPE : UNRELATED;
    if (!sse_text_equals_ignoring_case(range->type, "text"))
        return UNRELATED;
    if (any_subtype)
        return ANY_TEXT;
    return sse_text_equals_ignoring_case(range->subtype, "event-stream") ? EXACT_TYPE : UNRELATED;
}

bool sse_http_accepts(struct sse_str accept)
{
    enum closeness closest = UNRELATED;
    bool any_range = false;
    bool accepted = false;

    if (!accept.ptr)
        return true;
    while (accept.len > 0) {
        struct media_range range;
        enum closeness closeness;

        if (!read_media_range(take_element(&accept), &range))
            continue;
        any_range = true;
        closeness = closeness_of(&range);
        if (closeness > closest) {
            closest = closeness;
            accepted = !range.refused;
        } else if (closeness == closest && closeness != UNRELATED) {
            accepted = accepted || !range.refused;
        }
    }
    /* A list without a range that can be read is as good as an empty one. */
    return accepted || !any_range;
}

/* Last-Event-ID. */

static int digit_value(char byte)
{
    unsigned char lower = sse_text_lower_case((unsigned char)byte);

    if (lower >= '0' && lower <= '9')
        return lower - '0';
    if (lower >= 'a' && lower <= 'f')
        return lower - 'a' + 10;
    return -1;
}

/* Takes one byte in form encoding; -EINVAL if the percent encoding is broken. */
static int take_decoded(struct sse_str *rest)
{
    char byte = *take(rest, 1).ptr;
    int high;
    int low;

    if (byte == '+')
        return ' ';
    if (byte != '%')
        return (unsigned char)byte;
    if (rest->len < 2)
        return -EINVAL;
    high = digit_value(rest->ptr[0]);
    low = digit_value(rest->ptr[1]);
    if (high < 0 || low < 0)
        return -EINVAL;
    take(rest, 2);
    return high * 16 + low;
}

static bool name_decodes_to(struct sse_str name, const char *lower_case)
{
    while (name.len > 0 && *lower_case) {
        int byte = take_decoded(&name);
        if (byte < 0 || sse_text_lower_case((unsigned char)byte) != (unsigned char)*lower_case)
            return false;
        lower_case++;
    }
    return name.len == 0 && !*lower_case;
}

static struct sse_str take_until(struct sse_str *rest, char separator)
{
    const char *found = memchr(rest->ptr, separator, rest->len);
    struct sse_str taken = take(rest, found ? (size_t)(found - rest->ptr) : rest->len);

    take_byte(rest, separator);
    return taken;
}

/* The value of the first parameter that holds an id, still encoded; empty if there is none. */
static struct sse_str find_id(struct sse_str query)
{
    while (query.len > 0) {
        struct sse_str parameter = take_until(&query, '&');
        struct sse_str name = take_until(&parameter, '=');

        if (name_decodes_to(name, "lasteventid") || name_decodes_to(name, "last-event-id"))
            return parameter;
    }
    return sse_str("");
}

static ssize_t copy_header(struct sse_str header, void *buffer, size_t size)
{
    struct sse_str id = sse_text_trim(header);

    if (id.len > size || id.len > SSIZE_MAX)
        return -EMSGSIZE;
    memcpy(buffer, id.ptr, id.len);
    return (ssize_t)id.len;
}

static ssize_t decode_query(struct sse_str query, unsigned char *buffer, size_t size)
{
    struct sse_str encoded = find_id(query);
    size_t length = 0;

    while (encoded.len > 0) {
        int byte = take_decoded(&encoded);
        if (byte < 0)
            return byte;
        if (length == size)
            return -EMSGSIZE;
        buffer[length++] = (unsigned char)byte;
    }
    return (ssize_t)length;
}

ssize_t sse_http_last_event_id(struct sse_str header, struct sse_str query, void *buffer, size_t size)
{
    ssize_t length;

    if (!buffer || sse_text_is_broken(header) || sse_text_is_broken(query))
        return -EINVAL;
    length = header.ptr ? copy_header(header, buffer, size) : decode_query(query, buffer, size);
    if (length < 0)
        return length;
    if (!sse_id_is_valid(buffer, (size_t)length))
        return -EINVAL;
    return sse_utf8_is_valid(buffer, (size_t)length) ? length : -EILSEQ;
}

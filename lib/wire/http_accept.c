/* SPDX-License-Identifier: MIT */
#include <sse/http.h>

#include "wire/text.h"

/* Each byte is read a fixed number of times, so that a hostile value costs linear time. */

/* How closely a media range names text/event-stream. The closest one decides. */
enum closeness { UNRELATED, ANY_TYPE, ANY_TEXT, EXACT_TYPE };

struct media_range {
    struct sse_text type;
    struct sse_text subtype;
    bool fits;    /* it has no parameter that an event stream does not have */
    bool refused; /* its weight is zero */
};

static void skip_space(struct sse_text *rest)
{
    while (sse_text_take_byte(rest, ' ') || sse_text_take_byte(rest, '\t')) {
    }
}

static bool take_token(struct sse_text *rest, struct sse_text *token)
{
    *token = sse_text_take(rest, sse_text_token_length(*rest));
    return token->len > 0;
}

/* Reads the quoted string at the start. If the string has no end, returns false, and `rest` is empty. */
static bool take_quoted(struct sse_text *rest, struct sse_text *content)
{
    size_t length = 1;

    while (length < rest->len && rest->ptr[length] != '"')
        length += rest->ptr[length] == '\\' ? 2 : 1;
    if (length >= rest->len) {
        sse_text_take(rest, rest->len);
        return false;
    }
    content->ptr = rest->ptr + 1;
    content->len = length - 1;
    sse_text_take(rest, length + 1);
    return true;
}

/* Reads the list element at the start, and the comma after it. */
static struct sse_text take_element(struct sse_text *rest)
{
    struct sse_text element = *rest;
    struct sse_text content;

    while (rest->len > 0 && rest->ptr[0] != ',')
        if (rest->ptr[0] == '"')
            take_quoted(rest, &content);
        else
            sse_text_take(rest, 1);
    element.len -= rest->len;
    sse_text_take_byte(rest, ',');
    return sse_text_trim(element);
}

/* `value` is a token or a quoted string. A token has no backslashes, so both are read in the same way. */
static bool value_is_utf_8(struct sse_text value)
{
    char plain[sizeof("utf-8")];
    size_t length = 0;

    while (value.len > 0 && length < sizeof(plain)) {
        /* A quoted string has a byte behind each backslash. */
        sse_text_take_byte(&value, '\\');
        plain[length++] = *sse_text_take(&value, 1).ptr;
    }
    return sse_text_equals_ignoring_case((struct sse_text){.ptr = plain, .len = length}, "utf-8");
}

/*
 * Reads a weight from 0 to 1. This is more lenient than the grammar: there may be any number of decimals, and no
 * digit before the point, because Java's HttpURLConnection sends q=.2.
 */
static bool read_weight(struct sse_text text, bool *is_zero)
{
    bool one = sse_text_take_byte(&text, '1');
    bool digit = one || sse_text_take_byte(&text, '0');
    bool decimals = false; /* one is not zero */

    if (sse_text_take_byte(&text, '.')) {
        while (text.len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9') {
            digit = true;
            decimals = decimals || text.ptr[0] != '0';
            sse_text_take(&text, 1);
        }
    }
    *is_zero = !one && !decimals;
    return digit && text.len == 0 && (!one || !decimals);
}

static bool take_parameter(struct sse_text *rest, struct media_range *range)
{
    struct sse_text name;
    struct sse_text value;
    bool quoted;

    if (!take_token(rest, &name) || !sse_text_take_byte(rest, '='))
        return false;
    quoted = rest->len > 0 && rest->ptr[0] == '"';
    if (quoted ? !take_quoted(rest, &value) : !take_token(rest, &value))
        return false;
    if (sse_text_equals_ignoring_case(name, "q"))
        return !quoted && read_weight(value, &range->refused);
    /* The only parameter that is registered for the type, and its only value. */
    range->fits = range->fits && sse_text_equals_ignoring_case(name, "charset") && value_is_utf_8(value);
    return true;
}

static bool read_media_range(struct sse_text element, struct media_range *range)
{
    *range = (struct media_range){.fits = true};
    if (!take_token(&element, &range->type) || !sse_text_take_byte(&element, '/') ||
        !take_token(&element, &range->subtype))
        return false;
    skip_space(&element);
    while (element.len > 0) {
        if (!sse_text_take_byte(&element, ';'))
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

bool sse_http_accepts(struct sse_text accept)
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
    /* A list without a valid range counts as empty. */
    return accepted || !any_range;
}

/* SPDX-License-Identifier: MIT */
#include "wire/query.h"
#include "wire/text.h"

bool sse_query_next(struct sse_text *rest, struct query_parameter *parameter)
{
    while (sse_text_take_byte(rest, '&')) {
    }
    if (rest->len == 0)
        return false;
    parameter->value = sse_text_take_until(rest, '&');
    parameter->name = sse_text_take_until(&parameter->value, '=');
    return true;
}

static int digit_value(char byte)
{
    unsigned char lower = sse_text_lower_case((unsigned char)byte);

    if (lower >= '0' && lower <= '9')
        return lower - '0';
    if (lower >= 'a' && lower <= 'f')
        return lower - 'a' + 10;
    return -1;
}

int sse_query_take_byte(struct sse_text *rest)
{
    char byte = *sse_text_take(rest, 1).ptr;
    int high;
    int low;

    if (byte == '+')
        return ' ';
    if (byte != '%')
        return (unsigned char)byte;
    if (rest->len < 2)
        return -1;
    high = digit_value(rest->ptr[0]);
    low = digit_value(rest->ptr[1]);
    if (high < 0 || low < 0)
        return -1;
    sse_text_take(rest, 2);
    return high * 16 + low;
}

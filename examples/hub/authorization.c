/* SPDX-License-Identifier: MIT */
#include "authorization.h"

#include "ascii.h"

#define SCHEME_SIZE 6

/* Looks at every byte of `given`, whatever the first difference is. */
static bool equals_in_constant_time(struct sse_str given, struct sse_str token)
{
    volatile unsigned char difference = given.len != token.len;

    for (size_t i = 0; i < given.len; ++i)
        difference = (unsigned char)(difference | (given.ptr[i] ^ token.ptr[i % token.len]));
    return difference == 0;
}

bool authorization_matches(const struct request *request, struct sse_str token)
{
    struct sse_str value = request_header(request, "Authorization");
    struct sse_str scheme = {.ptr = value.ptr, .len = SCHEME_SIZE};

    if (!token.ptr)
        return true;
    if (value.len <= SCHEME_SIZE || !ascii_equals_ignoring_case(scheme, "Bearer") ||
        value.ptr[SCHEME_SIZE] != ' ')
        return false;
    value.ptr += SCHEME_SIZE;
    value.len -= SCHEME_SIZE;
    return equals_in_constant_time(ascii_trim(value), token);
}

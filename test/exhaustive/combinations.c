/* SPDX-License-Identifier: MIT */
#include "exhaustive.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The values of each field in an event with several fields. */
static const struct sse_text choices[] = {
    {NULL, 0}, {"", 0},     {"a", 1},   {" ", 1},   {":", 1},        {"\n", 1},   {"\r", 1},
    {"\0", 1}, {"\r\n", 2}, {"a\n", 2}, {"\na", 2}, {"\xc3\xa9", 2}, {"\xc3", 1}, {"data: x", 7},
};
static const int64_t retries[] = {0, 1, SSE_RETRY_MAX, SSE_RETRY_MAX + 1, -1};

/* Removes the last digit of a number in this base. */
static size_t take_digit(uint64_t *number, size_t base)
{
    size_t digit = (size_t)(*number % base);

    *number /= base;
    return digit;
}

static struct sse_event event_of(uint64_t number)
{
    struct sse_event event = {.trusted_utf8 = take_digit(&number, 2)};

    event.retry_ms = retries[take_digit(&number, COUNT(retries))];
    event.comment = choices[take_digit(&number, COUNT(choices))];
    event.type = choices[take_digit(&number, COUNT(choices))];
    event.data = choices[take_digit(&number, COUNT(choices))];
    event.id = choices[take_digit(&number, COUNT(choices))];
    return event;
}

/* If a caller wrongly claims UTF-8, the client receives other bytes. */
static bool is_trusted_in_vain(struct sse_event event)
{
    bool trusted = event.trusted_utf8;

    event.trusted_utf8 = false;
    return trusted && event_reference_error(&event) == -EILSEQ;
}

void run_combinations(struct share share)
{
    struct tally alone = {0}, batches = {0};
    struct sse_event before = {.data = sse_str("first"), .id = sse_str("0")};
    uint64_t count = 2 * COUNT(retries);

    for (int fields = 0; fields < 4; fields++)
        count *= COUNT(choices);
    for (uint64_t number = share.part; number < count; number += share.parts) {
        struct sse_event pair[2] = {before, event_of(number)};

        if (is_trusted_in_vain(pair[1]))
            continue;
        check_event(&pair[1], &alone);
        check_batch(pair, &batches);
        if (!event_reference_error(&pair[1]))
            before = pair[1];
    }
    tell("combinations", alone);
    tell("batches", batches);
}

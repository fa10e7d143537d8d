/* SPDX-License-Identifier: MIT */
#include "exhaustive.h"

#include <stdlib.h>

/* Longer than two of the largest blocks that the library handles at once. */
#define OFFSET_MAX 72
#define BYTES 256

/* In every field where the client notices a difference. */
static void check_text(struct sse_text text, struct tally *tally)
{
    const struct sse_event events[] = {{.data = text},
                                       {.data = sse_str("z"), .comment = text},
                                       {.data = sse_str("z"), .type = text},
                                       {.data = sse_str("z"), .id = text}};

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        check_event(&events[i], tally);
}

/* Two bytes, each with all values, in a text of letters. The text has its own block, and nothing after it can be
 * read. */
static void check_at(size_t before, size_t after, unsigned first, unsigned second, struct tally *tally)
{
    size_t length = before + 2 + after;
    char *text = malloc(length);

    if (!text)
        abort();
    memset(text, 'a', length);
    text[before] = (char)first;
    text[before + 1] = (char)second;
    check_text((struct sse_text){.ptr = text, .len = length}, tally);
    free(text);
}

void run_offsets(struct share share)
{
    static const unsigned seconds[] = {'\n', '\r', 'a', 0xa9, ' '};
    static const size_t afters[] = {0, 1, 5, 31};
    struct tally tally = {0};

    for (size_t before = share.part; before <= OFFSET_MAX; before += share.parts)
        for (unsigned first = 0; first < BYTES; first++)
            for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
                check_at(before, afters[(before + first + i) % 4], first, seconds[i], &tally);
    tell("offsets", tally);
}

static void check_utf8(const unsigned char *bytes, size_t length, struct tally *tally)
{
    struct sse_event event = {.data = {.ptr = (const char *)bytes, .len = length}};
    bool valid = event_reference_is_utf8(event.data);
    ssize_t result = sse_event_encode(&event, NULL, 0);

    event_expect(valid ? result > 0 : result == -EILSEQ, &event,
                 "the library and the reference disagree about UTF-8");
    *(valid ? &tally->encoded : &tally->refused) += 1;
}

/* All sequences of one to three bytes. Of four bytes, those around the limits of each: lead bytes from F0 on, and
 * every second byte. */
void run_utf8(struct share share)
{
    static const unsigned char limits[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    struct tally tally = {0};
    unsigned char bytes[4];

    for (unsigned first = (unsigned)share.part; first < BYTES; first += (unsigned)share.parts) {
        bytes[0] = (unsigned char)first;
        check_utf8(bytes, 1, &tally);
        for (unsigned rest = 0; rest < BYTES * BYTES; rest++) {
            bytes[1] = (unsigned char)(rest / BYTES);
            bytes[2] = (unsigned char)(rest % BYTES);
            if (!bytes[2])
                check_utf8(bytes, 2, &tally);
            check_utf8(bytes, 3, &tally);
            for (size_t i = 0; first >= 0xf0 && i < sizeof(limits); i++) {
                bytes[3] = limits[i];
                check_utf8(bytes, 4, &tally);
            }
        }
    }
    tell("utf8", tally);
}

void run_retry(struct share share)
{
    struct tally tally = {0};

    for (int64_t power = 1; power <= SSE_RETRY_MAX; power *= 10)
        for (int64_t times = 1; times <= 20; times++)
            for (int64_t by = -2; by <= 2; by++)
                check_event(&(struct sse_event){.retry_ms = power * times + by}, &tally);
    for (int64_t retry = (int64_t)share.part + 1; retry <= 200000; retry += (int64_t)share.parts)
        check_event(&(struct sse_event){.retry_ms = retry}, &tally);
    for (int64_t by = -3; by <= 3; by++)
        check_event(&(struct sse_event){.retry_ms = SSE_RETRY_MAX + by}, &tally);
    tell("retry", tally);
}

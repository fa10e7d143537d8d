/* SPDX-License-Identifier: MIT */
#include "reading.h"
#include "serving.h"

#include <string.h>

#define FIELD "data: "
#define FIELD_SIZE (sizeof(FIELD) - 1)
#define STAMP_END (FIELD_SIZE + STAMP_DIGITS)

static void count_latency(struct latencies *latencies, uint64_t nanoseconds)
{
    size_t power = LATENCY_BITS;

    latencies->total++;
    while (power < 62 && nanoseconds >> (power + 1))
        power++;
    latencies
        ->counts[power * LATENCY_STEPS + ((nanoseconds >> (power - LATENCY_BITS)) & (LATENCY_STEPS - 1))]++;
}

uint64_t latencies_at(const struct latencies *latencies, double share)
{
    uint64_t seen = 0;
    size_t bucket = 0;

    while (bucket < LATENCY_BUCKETS - 1 &&
           (double)(seen += latencies->counts[bucket]) < share * (double)latencies->total)
        bucket++;
    if (bucket / LATENCY_STEPS < LATENCY_BITS)
        return 0;
    return (UINT64_C(1) + LATENCY_STEPS + bucket % LATENCY_STEPS) << (bucket / LATENCY_STEPS - LATENCY_BITS);
}

/* Returns how many of the bytes belong to the head. */
static size_t skip_head(struct reading *reading, const char *bytes, size_t size)
{
    static const char end[] = "\r\n\r\n";
    size_t at = 0;

    for (; at < size && !reading->has_head; at++) {
        reading->head_end = bytes[at] == end[reading->head_end] ? reading->head_end + 1 : bytes[at] == '\r';
        reading->has_head = reading->head_end == 4;
    }
    return at;
}

/* Reads one byte of field name, stamp or blank line. */
static bool take_byte(struct reading *reading, char byte)
{
    if (reading->at < FIELD_SIZE)
        return byte == FIELD[reading->at];
    if (reading->at < STAMP_END) {
        reading->stamp = reading->stamp * 10 + (uint64_t)(byte - '0');
        return byte >= '0' && byte <= '9';
    }
    return byte == '\n';
}

static bool is_filler(const struct reading *reading)
{
    return reading->at >= STAMP_END && reading->at < FIELD_SIZE + reading->data_size;
}

static bool end_event(struct reading *reading, uint64_t now, struct latencies *latencies)
{
    bool in_order = reading->stamp > reading->last && reading->stamp <= now;

    if (in_order)
        count_latency(latencies, now - reading->stamp);
    reading->last = reading->stamp;
    reading->sum += reading->stamp;
    reading->stamp = 0;
    reading->at = 0;
    reading->events++;
    return in_order;
}

/* Reads as much of the filler as has arrived. */
static bool take_filler(struct reading *reading, const char *bytes, size_t size, size_t *done)
{
    static char filler[1 << 16];
    size_t left = FIELD_SIZE + reading->data_size - reading->at;
    size_t step = left < size ? left : size;

    if (!filler[0])
        memset(filler, 'x', sizeof(filler));
    if (step > sizeof(filler))
        step = sizeof(filler);
    reading->at += step;
    *done += step;
    return !memcmp(bytes, filler, step);
}

bool reading_is_whole(const struct reading *reading)
{
    return reading->has_head && !reading->at && !reading->in_comment;
}

/* Whether the byte belongs to a comment, or to the blank line after it. */
static bool take_comment(struct reading *reading, char byte)
{
    bool ends_comment = reading->in_comment && byte == '\n';
    bool took =
        reading->in_comment || (!reading->at && (byte == ':' || (byte == '\n' && reading->after_comment)));

    reading->in_comment = took && byte != '\n';
    reading->after_comment = ends_comment;
    return took;
}

bool reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                  struct latencies *latencies)
{
    size_t done = reading->has_head ? 0 : skip_head(reading, bytes, size);

    while (done < size) {
        if (is_filler(reading)) {
            if (!take_filler(reading, bytes + done, size - done, &done))
                return false;
            continue;
        }
        if (take_comment(reading, bytes[done])) {
            done++;
            continue;
        }
        if (!take_byte(reading, bytes[done++]))
            return false;
        reading->at++;
        if (reading->at == FIELD_SIZE + reading->data_size + 2 && !end_event(reading, now, latencies))
            return false;
    }
    return true;
}

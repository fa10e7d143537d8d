/* SPDX-License-Identifier: MIT */
/*
 * Removes everything that a peer sends beside the data: chunks, comments, and fields other than data. Then the load
 * client checks the rest as strictly as for our server. The linker calls this before reading_take (--wrap), so the
 * load client itself does not change.
 */
#include "../reading.h"

#include <ctype.h>
#include <string.h>

#define FILES_MAX 65536
#define SLICE (1 << 15)

static const char head_end[] = "\r\n\r\n";
static const char chunked[] = "\r\ntransfer-encoding: chunked\r\n";
static const char data_field[] = "data:";

enum line { LINE_BEGINS, LINE_OF_DATA, LINE_OF_OTHER };

/** The state of one client's stream. */
struct decoding {
    bool has_head;
    bool is_chunked;
    bool in_chunk;     /* or in a body without chunks */
    bool has_digits;   /* of the size of a chunk */
    bool after_colon;  /* where one space does not count */
    bool has_data;     /* in the event that comes */
    unsigned end_seen; /* how much of these texts */
    unsigned chunked_seen;
    unsigned field_seen;
    enum line line;
    size_t chunk_left;
};

/** The bytes that are left for the reader. */
struct plain {
    char bytes[2 * SLICE];
    size_t size;
};

bool __real_reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                         struct latencies *latencies);
bool __wrap_reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                         struct latencies *latencies);

static void keep(struct plain *plain, const char *bytes, size_t size)
{
    memcpy(plain->bytes + plain->size, bytes, size);
    plain->size += size;
}

static unsigned seen_of(const char *text, unsigned seen, char byte)
{
    if (byte == text[seen])
        return seen + 1;
    return byte == text[0] ? 1 : 0;
}

static void take_head(struct decoding *decoding, char byte)
{
    if (!decoding->is_chunked) {
        decoding->chunked_seen = seen_of(chunked, decoding->chunked_seen, (char)tolower((unsigned char)byte));
        decoding->is_chunked = decoding->chunked_seen == sizeof(chunked) - 1;
    }
    decoding->end_seen = seen_of(head_end, decoding->end_seen, byte);
    decoding->has_head = decoding->end_seen == sizeof(head_end) - 1;
    decoding->in_chunk = decoding->has_head && !decoding->is_chunked;
    decoding->chunk_left = decoding->in_chunk ? SIZE_MAX : 0;
}

/* A line without digits is the end of the previous chunk. Returns false after the last chunk. */
static bool take_chunk_size(struct decoding *decoding, char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = byte ? strchr(digits, tolower((unsigned char)byte)) : NULL;

    if (digit) {
        decoding->chunk_left = decoding->chunk_left * 16 + (size_t)(digit - digits);
        decoding->has_digits = true;
    }
    if (byte != '\n' || !decoding->has_digits)
        return true;
    decoding->has_digits = false;
    decoding->in_chunk = decoding->chunk_left > 0;
    return decoding->in_chunk;
}

/* At the beginning of a line. A blank one ends an event that has data. */
static void take_field(struct decoding *decoding, struct plain *plain, char byte)
{
    if (byte == '\n') {
        if (!decoding->field_seen && decoding->has_data)
            keep(plain, "\n", 1);
        decoding->has_data = decoding->has_data && decoding->field_seen;
        decoding->field_seen = 0;
        return;
    }
    if (byte != data_field[decoding->field_seen]) {
        decoding->field_seen = 0;
        decoding->line = LINE_OF_OTHER;
        return;
    }
    if (++decoding->field_seen < sizeof(data_field) - 1)
        return;
    keep(plain, "data: ", 6);
    decoding->field_seen = 0;
    decoding->has_data = true;
    decoding->after_colon = true;
    decoding->line = LINE_OF_DATA;
}

/* Returns the length of the rest of the line, as far as it is there. */
static size_t take_rest(struct decoding *decoding, struct plain *plain, const char *bytes, size_t size)
{
    const char *end = memchr(bytes, '\n', size);
    size_t taken = end ? (size_t)(end - bytes) + 1 : size;
    size_t skipped = decoding->after_colon && bytes[0] == ' ';

    if (decoding->line == LINE_OF_DATA)
        keep(plain, bytes + skipped, taken - skipped);
    decoding->after_colon = false;
    if (end)
        decoding->line = LINE_BEGINS;
    return taken;
}

static void take_body(struct decoding *decoding, struct plain *plain, const char *bytes, size_t size)
{
    size_t done = 0;

    while (done < size)
        if (decoding->line == LINE_BEGINS)
            take_field(decoding, plain, bytes[done++]);
        else
            done += take_rest(decoding, plain, bytes + done, size - done);
}

/* Returns false at the end of the stream. */
static bool take_slice(struct decoding *decoding, struct plain *plain, const char *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t step = decoding->chunk_left < size - done ? decoding->chunk_left : size - done;

        if (!decoding->has_head) {
            keep(plain, &bytes[done], 1);
            take_head(decoding, bytes[done++]);
        } else if (decoding->in_chunk) {
            take_body(decoding, plain, bytes + done, step);
            done += step;
            decoding->chunk_left -= step;
            decoding->in_chunk = decoding->chunk_left > 0;
        } else if (!take_chunk_size(decoding, bytes[done++])) {
            return false;
        }
    }
    return true;
}

bool __wrap_reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                         struct latencies *latencies)
{
    static struct decoding decodings[FILES_MAX];
    static struct plain plain;
    struct decoding *decoding;

    if (reading->fd < 0 || reading->fd >= FILES_MAX)
        return false;
    decoding = &decodings[reading->fd];
    for (size_t done = 0; done < size; done += SLICE) {
        plain.size = 0;
        if (!take_slice(decoding, &plain, bytes + done, size - done < SLICE ? size - done : SLICE))
            return false;
        if (!__real_reading_take(reading, plain.bytes, plain.size, now, latencies))
            return false;
    }
    return true;
}

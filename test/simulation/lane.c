/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>

/* The model of a queue: its content, what its limits accept, and what an overflow drops. */

static size_t limit_bytes(const struct connection *connection)
{
    return connection->options.queue_bytes ? connection->options.queue_bytes : (size_t)1 << 20;
}

static size_t limit_messages(const struct connection *connection)
{
    return connection->options.queue_messages ? connection->options.queue_messages : 4096;
}

static size_t chunk_head_size(size_t frame)
{
    size_t digits = 1;

    for (size_t rest = frame >> 4; rest; rest >>= 4)
        digits++;
    return digits + 2;
}

static bool is_framed(const struct connection *connection, const struct item *item)
{
    return connection->chunked && item->kind != ITEM_HEAD && item->kind != ITEM_LAST_CHUNK;
}

/* The library chooses the digits of a retry. */
static struct sse_text frame_of(const struct connection *connection, const struct item *item)
{
    switch (item->kind) {
    case ITEM_HEAD:
        return connection->head;
    case ITEM_FIRST:
        return connection->first_line;
    case ITEM_HEARTBEAT:
        return sse_str(":\n");
    case ITEM_RETRY:
        return sse_str("retry: 0000\n\n");
    case ITEM_LAST_CHUNK:
        return sse_str("0\r\n\r\n");
    case ITEM_RECORD:
        break;
    }
    return (struct sse_text){connection->world->records[item->record].frame,
                             connection->world->records[item->record].size};
}

size_t wire_size(const struct connection *connection, const struct item *item)
{
    size_t size = frame_of(connection, item).len;

    return is_framed(connection, item) ? chunk_head_size(size) + size + 2 : size;
}

size_t item_frame_offset(const struct connection *connection, const struct item *item)
{
    return is_framed(connection, item) ? chunk_head_size(frame_of(connection, item).len) : 0;
}

/* Writes the bytes of a message on the wire. */
static size_t render(const struct connection *connection, const struct item *item, char *wire)
{
    struct sse_text frame = frame_of(connection, item);
    size_t size = 0;

    if (is_framed(connection, item))
        size = (size_t)snprintf(wire, WIRE_MAX, "%zx\r\n", frame.len);
    memcpy(wire + size, frame.ptr, frame.len);
    size += frame.len;
    if (is_framed(connection, item)) {
        memcpy(wire + size, "\r\n", 2);
        size += 2;
    }
    return size;
}

static bool same_bytes(const struct item *item, const char *wire, const char *bytes, size_t size)
{
    if (item->kind != ITEM_RETRY)
        return !memcmp(wire, bytes, size);
    for (size_t i = 0; i < size; i++)
        if (wire[i] != bytes[i] && !(wire[i] == '0' && bytes[i] >= '0' && bytes[i] <= '9'))
            return false;
    return true;
}

unsigned item_events(const struct connection *connection, const struct item *item)
{
    return item->kind == ITEM_RECORD ? connection->world->records[item->record].counted : 0;
}

size_t lane_bytes(const struct lane *lane)
{
    size_t bytes = 0;

    for (size_t i = 0; i < lane->count; i++)
        bytes += lane->items[i].size;
    return bytes - lane->written;
}

uint64_t lane_events(const struct connection *connection, const struct lane *lane)
{
    uint64_t events = 0;

    for (size_t i = 0; i < lane->count; i++)
        events += item_events(connection, &lane->items[i]);
    return events;
}

void lane_push(struct lane *lane, struct item item)
{
    if (lane->count == lane->capacity) {
        lane->capacity = lane->capacity ? 2 * lane->capacity : 16;
        lane->items = realloc(lane->items, lane->capacity * sizeof(item));
        if (!lane->items)
            abort();
    }
    lane->items[lane->count++] = item;
}

void lane_exempt_all(struct lane *lane)
{
    lane->exempt = lane->count;
}

void lane_remove(struct lane *lane, size_t index)
{
    if (!index)
        lane->written = 0;
    lane->exempt -= index < lane->exempt;
    lane->pinned -= index < lane->pinned;
    lane->count--;
    memmove(lane->items + index, lane->items + index + 1, (lane->count - index) * sizeof(*lane->items));
}

void lane_clear(struct lane *lane)
{
    free(lane->items);
    *lane = (struct lane){.lost = lane->lost};
}

void lane_copy(struct lane *to, const struct lane *from)
{
    lane_clear(to);
    for (size_t i = 0; i < from->count; i++)
        lane_push(to, from->items[i]);
    to->written = from->written;
    to->exempt = from->exempt;
    to->pinned = from->pinned;
}

/* Returns the part that counts against the limits. */
static size_t counted_bytes(const struct lane *lane)
{
    size_t bytes = 0;

    for (size_t i = lane->exempt; i < lane->count; i++)
        bytes += lane->items[i].size;
    return lane->exempt || !lane->count ? bytes : bytes - lane->written;
}

static bool admits(const struct connection *connection, const struct lane *lane, size_t size, size_t factor)
{
    return counted_bytes(lane) + size <= factor * limit_bytes(connection) &&
           lane->count - lane->exempt < factor * limit_messages(connection);
}

bool lane_is_over(const struct connection *connection, const struct lane *lane, size_t factor)
{
    return counted_bytes(lane) > factor * limit_bytes(connection) ||
           lane->count - lane->exempt > factor * limit_messages(connection);
}

bool record_is_too_large(const struct connection *connection, size_t record)
{
    const struct item item = {.kind = ITEM_RECORD, .record = record};

    return wire_size(connection, &item) > limit_bytes(connection);
}

/* The first event of which no byte was written and that nobody is peeking at. */
static size_t first_droppable(const struct connection *connection, const struct lane *lane, size_t from)
{
    size_t index = lane->pinned;

    if (!index && lane->written)
        index = 1;
    if (index < from)
        index = from;
    while (index < lane->count && !item_events(connection, &lane->items[index]))
        index++;
    return index;
}

size_t lane_victim(const struct connection *connection, const struct lane *lane)
{
    return connection->options.overflow == SSE_OVERFLOW_DROP_OLDEST
               ? first_droppable(connection, lane, lane->exempt)
               : lane->count - 1;
}

/* Returns the number of its events. */
static uint64_t lose(const struct connection *connection, const struct lane *lane, const struct item *item)
{
    if (lane->lost)
        lane->lost[item->record] = true;
    return item_events(connection, item);
}

static uint64_t drop(const struct connection *connection, struct lane *lane, size_t index)
{
    uint64_t events = lose(connection, lane, &lane->items[index]);

    lane_remove(lane, index);
    return events;
}

static bool has_room(const struct connection *connection, const struct lane *lane, const struct item *item,
                     size_t factor)
{
    return item ? admits(connection, lane, item->size, factor) : !lane_is_over(connection, lane, factor);
}

/* Drops for a message, or with NULL until the queue is within its limits. Drops nothing that is exempt, and nothing
 * if that makes no room. */
static uint64_t drop_oldest(const struct connection *connection, struct lane *lane, const struct item *item,
                            size_t factor)
{
    struct lane least = {.items = NULL};
    uint64_t events = 0;
    size_t index;
    bool in_vain;

    lane_copy(&least, lane);
    while ((index = first_droppable(connection, &least, least.exempt)) < least.count)
        (void)drop(connection, &least, index);
    in_vain = !has_room(connection, &least, item, factor);
    lane_clear(&least);
    while (!in_vain && !has_room(connection, lane, item, factor))
        events += drop(connection, lane, first_droppable(connection, lane, lane->exempt));
    return events;
}

static uint64_t drop_newest(const struct connection *connection, struct lane *lane)
{
    size_t first = first_droppable(connection, lane, lane->exempt);
    uint64_t events = 0;

    for (size_t index = lane->count; index-- > first && lane_is_over(connection, lane, 1);)
        if (item_events(connection, &lane->items[index]))
            events += drop(connection, lane, index);
    return events;
}

static struct sse_text key_of(const struct connection *connection, const struct item *item)
{
    return item->kind == ITEM_RECORD ? connection->world->records[item->record].events[0].key
                                     : (struct sse_text){.ptr = NULL};
}

/* An event replaces the oldest one with its key, but no replayed one. */
static uint64_t drop_key(const struct connection *connection, struct lane *lane, struct sse_text key)
{
    for (size_t i = first_droppable(connection, lane, lane->exempt); key.ptr && i < lane->count; i++) {
        struct sse_text other = key_of(connection, &lane->items[i]);

        if (other.ptr && same_text(other, key))
            return drop(connection, lane, i);
    }
    return 0;
}

enum verdict lane_offer(const struct connection *connection, struct lane *lane, struct item item,
                        size_t factor, uint64_t *dropped)
{
    enum sse_overflow overflow = connection->options.overflow;

    if (overflow == SSE_OVERFLOW_COALESCE)
        *dropped += drop_key(connection, lane, key_of(connection, &item));
    if (overflow == SSE_OVERFLOW_DROP_OLDEST && !admits(connection, lane, item.size, factor))
        *dropped += drop_oldest(connection, lane, &item, factor);
    if (admits(connection, lane, item.size, factor)) {
        lane_push(lane, item);
        return QUEUED;
    }
    if (overflow == SSE_OVERFLOW_END || overflow == SSE_OVERFLOW_COALESCE)
        return ENDED;
    *dropped += lose(connection, lane, &item);
    return DROPPED;
}

enum verdict lane_judge(const struct connection *connection, struct lane *lane, uint64_t *dropped)
{
    if (!lane_is_over(connection, lane, 1))
        return QUEUED;
    switch (connection->options.overflow) {
    case SSE_OVERFLOW_DROP_NEWEST:
        *dropped += drop_newest(connection, lane);
        return DROPPED;
    case SSE_OVERFLOW_DROP_OLDEST:
        *dropped += drop_oldest(connection, lane, NULL, 1);
        return DROPPED;
    case SSE_OVERFLOW_END:
    case SSE_OVERFLOW_COALESCE:
        break;
    }
    return ENDED;
}

/** A place in the content of lanes. */
struct cursor {
    const struct connection *connection;
    size_t index;
    size_t at; /* of the message */
    size_t size;
    char wire[WIRE_MAX];
};

static const struct item *item_at(const struct connection *connection, size_t index)
{
    const struct lane *front = &connection->front, *later = &connection->later;

    if (index < front->count)
        return &front->items[index];
    index -= front->count;
    return !connection->paused && index < later->count ? &later->items[index] : NULL;
}

static bool cursor_open(struct cursor *cursor)
{
    const struct item *item = item_at(cursor->connection, cursor->index);

    if (item)
        cursor->size = render(cursor->connection, item, cursor->wire);
    return item;
}

static bool cursor_reads(struct cursor *cursor, const char *bytes, size_t size)
{
    while (size) {
        size_t piece = cursor->size - cursor->at;

        if (!piece) {
            cursor->index++;
            cursor->at = 0;
            if (!cursor_open(cursor))
                return false;
            continue;
        }
        piece = piece < size ? piece : size;
        if (!same_bytes(item_at(cursor->connection, cursor->index), cursor->wire + cursor->at, bytes, piece))
            return false;
        cursor->at += piece;
        bytes += piece;
        size -= piece;
    }
    return true;
}

size_t queue_shows(struct connection *connection, const struct iovec *iov, int count)
{
    struct cursor cursor = {.connection = connection, .at = connection->front.written};
    size_t size = 0;

    expect(connection->world, count > 0 && cursor_open(&cursor), "connection %zu: nothing is queued",
           connection->number);
    for (int i = 0; i < count; i++) {
        expect(connection->world, cursor_reads(&cursor, iov[i].iov_base, iov[i].iov_len),
               "connection %zu: piece %d of %d is not what is queued: \"%.*s\"", connection->number, i, count,
               (int)(iov[i].iov_len < 200 ? iov[i].iov_len : 200), (const char *)iov[i].iov_base);
        size += iov[i].iov_len;
    }
    expect(connection->world, size > 0, "connection %zu: nothing is offered", connection->number);
    connection->front.pinned =
        cursor.index < connection->front.count ? cursor.index + 1 : connection->front.count;
    return size;
}

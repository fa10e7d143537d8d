/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdlib.h>

/* The bytes that a sink took, taken apart: they have to be the frames that were offered, in that order. */

static void *make(size_t count, size_t size)
{
    void *block = calloc(count + 1, size);

    if (!block)
        abort();
    return block;
}

/* The size of the next chunk, or SIZE_MAX if its head is torn. */
static size_t chunk_size(const struct stream *stream, const unsigned char *bytes, size_t size, size_t *at)
{
    static const char digits[] = "0123456789abcdef";
    struct world *world = stream->connection->world;
    size_t chunk = 0, begin = *at;

    for (; *at < size && bytes[*at] != '\r'; ++*at) {
        const char *digit = memchr(digits, bytes[*at], 16);

        expect(world, digit && *at - begin < 8, "connection %zu: no chunk begins at byte %zu",
               stream->connection->number, begin);
        chunk = chunk * 16 + (size_t)(digit - digits);
    }
    if (*at + 2 > size)
        return SIZE_MAX;
    expect(world, *at > begin && bytes[*at + 1] == '\n', "connection %zu: no chunk begins at byte %zu",
           stream->connection->number, begin);
    *at += 2;
    return chunk;
}

/* Appends to the body what chunks hold. Returns whether the last chunk came. */
static bool read_chunks(struct stream *stream, const unsigned char *bytes, size_t size)
{
    struct world *world = stream->connection->world;
    size_t at = 0;

    while (at < size) {
        size_t chunk = chunk_size(stream, bytes, size, &at);
        size_t here = chunk < size - at ? chunk : size - at;

        if (chunk == SIZE_MAX)
            return false;
        memcpy(stream->body + stream->size, bytes + at, here);
        stream->size += here;
        at += here;
        if (here < chunk || size - at < 2) {
            expect(world, here < chunk || at == size || bytes[at] == '\r',
                   "connection %zu: a chunk has no end", stream->connection->number);
            return false;
        }
        expect(world, !memcmp(bytes + at, "\r\n", 2), "connection %zu: a chunk has no end",
               stream->connection->number);
        at += 2;
        if (!chunk) {
            expect(world, at == size, "connection %zu: bytes behind the last chunk",
                   stream->connection->number);
            return true;
        }
        stream->whole = stream->chunks[stream->chunk_count++] = stream->size;
    }
    return false;
}

size_t stream_body_size(const struct stream *stream, size_t received)
{
    const struct connection *connection = stream->connection;
    struct stream part = {.connection = stream->connection};
    size_t size = received > connection->head_size ? received - connection->head_size : 0;

    if (connection->options.framing == SSE_FRAMING_RAW || !size)
        return size;
    part.body = make(size, 1);
    part.chunks = make(size / 6 + 1, sizeof(size_t));
    (void)read_chunks(&part, connection->received + connection->head_size, size);
    size = part.size;
    stream_free(&part);
    return size;
}

static bool begins_with(const struct stream *stream, size_t at, const char *text, size_t size)
{
    size_t left = stream->size - at;

    return !memcmp(stream->body + at, text, size < left ? size : left);
}

static bool has_come(const struct stream *stream, size_t item)
{
    for (size_t i = 0; i < stream->piece_count; i++)
        if (stream->pieces[i].item == item)
            return true;
    return false;
}

/* The next item whose frame is here, from `from` on, or the number of items. */
static size_t find_item(const struct stream *stream, size_t at, size_t from)
{
    const struct connection *connection = stream->connection;

    for (size_t i = from; i < connection->item_count; i++) {
        const struct record *record = &connection->world->records[connection->items[i].record];

        if (connection->items[i].fate < FATE_REFUSED && begins_with(stream, at, record->frame, record->size))
            return i;
    }
    /* What others were sent meanwhile comes before or after it. */
    for (size_t i = 0; i < from; i++) {
        const struct item *item = &connection->items[i];
        const struct record *record = &connection->world->records[item->record];

        if ((item->fate == FATE_FAREWELL || (item->late && item->fate < FATE_REFUSED)) &&
            !has_come(stream, i) && begins_with(stream, at, record->frame, record->size))
            return i;
    }
    return connection->item_count;
}

/* A client is told a time of its own to come back, and nothing else after it. */
static size_t retry_size(const struct stream *stream, size_t at)
{
    struct world *world = stream->connection->world;
    const char *text = (const char *)stream->body + at;
    size_t size = strlen("retry: ");
    int64_t retry = 0;

    if (!world->retry_min || !begins_with(stream, at, "retry: ", size))
        return 0;
    if (stream->size - at < size)
        return stream->size - at;
    for (; at + size < stream->size && text[size] >= '0' && text[size] <= '9'; size++)
        retry = retry * 10 + (text[size] - '0');
    if (at + size + 2 > stream->size)
        return stream->size - at;
    if (memcmp(text + size, "\n\n", 2))
        return 0;
    expect(world, retry >= world->retry_min && retry <= world->retry_max, "connection %zu: retry %lld",
           stream->connection->number, (long long)retry);
    return size + 2;
}

static void add_piece(struct stream *stream, size_t item, size_t start, size_t size)
{
    stream->pieces[stream->piece_count++] = (struct piece){.item = item, .start = start, .end = start + size};
}

/* Frames and chunks end together. */
static void check_chunks(const struct stream *stream)
{
    size_t chunk = 0;

    for (size_t i = 0; i < stream->piece_count; i++) {
        size_t end = stream->pieces[i].end;

        if (end > stream->whole)
            break;
        expect(stream->connection->world, stream->chunks[chunk++] == end,
               "connection %zu: a chunk is no message", stream->connection->number);
    }
}

static void match(struct stream *stream)
{
    const struct connection *connection = stream->connection;
    size_t next = 0;

    for (size_t at = 0; at < stream->size; at = stream->pieces[stream->piece_count - 1].end) {
        bool torn_colon = stream->size - at == 1 && stream->body[at] == ':';
        size_t item = torn_colon ? connection->item_count : find_item(stream, at, next);
        size_t retry;

        /* A torn colon may be of a heartbeat, or of any comment. */
        if (item < connection->item_count) {
            add_piece(stream, item, at, connection->world->records[connection->items[item].record].size);
            next = item < next ? next : item + 1;
        } else if (begins_with(stream, at, ":\n", 2)) {
            add_piece(stream, SIZE_MAX, at, 2);
            stream->heartbeats += !torn_colon;
        } else {
            retry = retry_size(stream, at);
            expect(connection->world, retry && !stream->retries,
                   "connection %zu: what was not offered at byte %zu of %zu: \"%.*s\"", connection->number,
                   at, stream->size, (int)(stream->size - at < 200 ? stream->size - at : 200),
                   (const char *)stream->body + at);
            add_piece(stream, SIZE_MAX, at, retry);
            stream->retries++;
        }
    }
}

static bool ended_gracefully(const struct sse_completion *completion)
{
    return completion->reason == SSE_REASON_COMPLETED || completion->reason == SSE_REASON_LIFETIME ||
           (completion->reason == SSE_REASON_SHUTDOWN && !completion->error);
}

/* It may have been broken off by the very call that took the last chunk. */
static void check_last_chunk(const struct connection *connection, bool ended)
{
    bool drained =
        connection->causes & (CAUSE_COMPLETE | CAUSE_SHUTDOWN) || connection->options.lifetime_ms > 0;

    expect(connection->world, ended || !ended_gracefully(&connection->completion),
           "connection %zu: no last chunk after a graceful end", connection->number);
    expect(connection->world, !ended || drained, "connection %zu: a last chunk without a graceful end",
           connection->number);
}

void stream_init(struct stream *stream, struct connection *connection)
{
    size_t head =
        connection->head_size < connection->received_size ? connection->head_size : connection->received_size;
    size_t size = connection->received_size - head;
    const unsigned char *bytes = size ? connection->received + head : NULL;
    bool ended = false;

    expect(connection->world, !head || !memcmp(connection->received, connection->options.head.ptr, head),
           "connection %zu: the stream does not begin with its head", connection->number);
    *stream = (struct stream){.connection = connection};
    stream->body = make(size, 1);
    /* The least are a heartbeat, and a chunk of one byte. */
    stream->pieces = make(size / 2 + 1, sizeof(*stream->pieces));
    stream->chunks = make(size / 6 + 1, sizeof(size_t));
    if (connection->options.framing == SSE_FRAMING_CHUNKED) {
        ended = size && read_chunks(stream, bytes, size);
    } else {
        if (size)
            memcpy(stream->body, bytes, size);
        stream->size = stream->whole = size;
    }
    if (connection->completions && connection->options.framing == SSE_FRAMING_CHUNKED)
        check_last_chunk(connection, ended);
    match(stream);
    if (connection->options.framing == SSE_FRAMING_CHUNKED)
        check_chunks(stream);
}

void stream_free(struct stream *stream)
{
    free(stream->body);
    free(stream->pieces);
    free(stream->chunks);
}

/* What of a message has arrived, as counters count it. */
static uint64_t count_piece(const struct stream *stream, const struct piece *piece, struct sse_str *last_id)
{
    const struct connection *connection = stream->connection;
    const struct record *record = &connection->world->records[connection->items[piece->item].record];
    uint64_t events = 0;

    if (piece->end <= stream->whole) {
        if (record->id.ptr)
            *last_id = record->id;
        return record->counted;
    }
    for (unsigned i = 0; connection->options.framing == SSE_FRAMING_RAW && i < record->part_count; i++) {
        if (piece->start + record->ends[i] > stream->size)
            break;
        events += is_dispatched(&record->events[i]);
        if (record->ids[i].ptr)
            *last_id = record->ids[i];
    }
    return events;
}

/* Events that were offered and not refused; *open: those of which it is not known. */
static uint64_t count_offered(const struct connection *connection, uint64_t *open)
{
    const struct world *world = connection->world;
    bool certain = connection->completion.reason == SSE_REASON_SHUTDOWN && !world->farewell_uncertain;
    uint64_t offered = 0;

    *open = 0;
    for (size_t i = 0; i < connection->item_count; i++) {
        const struct item *item = &connection->items[i];
        unsigned counted = world->records[item->record].counted;

        if (item->fate == FATE_OPEN || (item->fate == FATE_FAREWELL && !certain))
            *open += counted;
        if (item->fate < FATE_REFUSED)
            offered += counted;
    }
    return offered;
}

/* An emitter that ends when its queue is full leaves none out before that. */
static void check_order(const struct stream *stream)
{
    const struct connection *connection = stream->connection;
    size_t next = 0;

    for (size_t i = 0; connection->options.overflow == SSE_OVERFLOW_CLOSE && i < stream->piece_count; i++) {
        if (stream->pieces[i].item == SIZE_MAX || stream->pieces[i].item < next)
            continue;
        for (; next < stream->pieces[i].item; next++)
            expect(
                connection->world, connection->items[next].fate != FATE_OWED || connection->items[next].late,
                "connection %zu: record %zu is missing", connection->number, connection->items[next].record);
        next++;
    }
}

/* Where the frame of an item begins in the stream; SIZE_MAX if it did not get there. */
static size_t start_of(const struct stream *stream, size_t item)
{
    for (size_t i = 0; i < stream->piece_count; i++) {
        if (stream->pieces[i].item == item)
            return stream->pieces[i].start + stream->connection->head_size;
    }
    return SIZE_MAX;
}

static bool has_key(const struct connection *connection, size_t item, struct sse_str key)
{
    struct sse_str other = connection->world->records[connection->items[item].record].events[0].key;

    return connection->items[item].fate == FATE_OWED && other.ptr && same_text(other, key);
}

/* An event takes the place of one with its key that waits. Looked at where it is certain which one that
 * was: all others with that key had left before. */
static void check_key(const struct stream *stream, size_t item, struct sse_str key)
{
    const struct connection *connection = stream->connection;
    const struct item *later = &connection->items[item];
    size_t before = item, start;

    while (before-- && !has_key(connection, before, key))
        ;
    if (before == SIZE_MAX || later->pinned || connection->items[before].pinned || later->replayed)
        return;
    for (size_t i = 0; i < before; i++) {
        if (has_key(connection, i, key) && start_of(stream, i) >= later->sent)
            return;
    }
    start = start_of(stream, before);
    expect(connection->world, start == SIZE_MAX || start < later->sent,
           "connection %zu: record %zu was sent beside record %zu, which has its key", connection->number,
           connection->items[before].record, later->record);
}

static void check_keys(const struct stream *stream)
{
    const struct connection *connection = stream->connection;

    if (connection->options.overflow != SSE_OVERFLOW_COALESCE ||
        connection->options.framing != SSE_FRAMING_RAW)
        return;
    for (size_t i = 0; i < stream->piece_count; i++) {
        size_t item = stream->pieces[i].item;
        struct sse_str key;

        if (item == SIZE_MAX)
            continue;
        key = connection->world->records[connection->items[item].record].events[0].key;
        if (key.ptr)
            check_key(stream, item, key);
    }
}

static void check_heartbeats(const struct stream *stream)
{
    const struct connection *connection = stream->connection;
    int64_t heartbeat = connection->options.heartbeat_ms;
    uint64_t most = 0;

    if (heartbeat > 0)
        most = (uint64_t)connection->completion.age_ms * 4 / (3 * (uint64_t)heartbeat) + 1;
    expect(connection->world, stream->heartbeats <= most, "connection %zu: %llu heartbeats in %lld ms",
           connection->number, (unsigned long long)stream->heartbeats,
           (long long)connection->completion.age_ms);
}

void stream_settle(struct connection *connection)
{
    const struct sse_completion *completion = &connection->completion;
    struct world *world = connection->world;
    struct sse_str last_id = {.ptr = NULL};
    uint64_t events = 0, open, offered;
    struct stream stream;

    stream_init(&stream, connection);
    for (size_t i = 0; i < stream.piece_count; i++) {
        if (stream.pieces[i].item != SIZE_MAX)
            events += count_piece(&stream, &stream.pieces[i], &last_id);
    }
    offered = count_offered(connection, &open);
    narrate(world, "connection %zu ended: offered %llu, written %llu, dropped %llu", connection->number,
            (unsigned long long)offered, (unsigned long long)events, (unsigned long long)completion->dropped);
    expect_equal(world, connection->received_size, completion->bytes, "bytes in the completion record");
    expect_equal(world, events, completion->events, "events in the completion record");
    expect(world, completion->dropped <= offered - events && completion->dropped + open >= offered - events,
           "connection %zu: %llu offered, %llu written, %llu dropped", connection->number,
           (unsigned long long)offered, (unsigned long long)events, (unsigned long long)completion->dropped);
    expect(world, same_text(last_id, connection->last_id) && !last_id.ptr == !completion->last_event_id.ptr,
           "connection %zu: the last id written is \"%.*s\"", connection->number, (int)last_id.len,
           last_id.ptr ? last_id.ptr : "");
    check_order(&stream);
    check_keys(&stream);
    check_heartbeats(&stream);
    world->totals.drops += completion->dropped;
    stream_free(&stream);
    connection->settled = true;
}

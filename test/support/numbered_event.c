/* SPDX-License-Identifier: MIT */
#include "numbered_event.h"
#include "schedule.h"

#include <sse/http.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Some sizes are too large for an encoder's fast path. */
static size_t filler_size(const struct numbered_key *key)
{
    size_t varied = (key->sequence * 37 + key->publisher * 11) % 90;

    return key->sequence % 16 == 5 ? 600 + varied : varied;
}

struct sse_event numbered_event(const struct numbered_key *key, struct numbered_event *text)
{
    size_t filler = filler_size(key);
    int size = snprintf(text->data, sizeof(text->data), "%u %u %u %u ", key->publisher, key->sequence,
                        key->registry, key->target);

    require(size > 0 && (size_t)size + filler < sizeof(text->data));
    memset(text->data + size, 'a' + (int)(key->sequence % 26), filler);
    text->data[(size_t)size + filler] = '\0';
    snprintf(text->id, sizeof(text->id), "%u-%u", key->publisher, key->sequence);
    return (struct sse_event){.id = sse_str(text->id), .data = sse_str(text->data)};
}

void numbered_stream_append(struct numbered_stream *stream, const void *bytes, size_t size)
{
    if (stream->size + size >= stream->capacity) {
        stream->capacity = (stream->size + size) * 2 + 64;
        stream->bytes = realloc(stream->bytes, stream->capacity);
        require(stream->bytes != NULL);
    }
    memcpy(stream->bytes + stream->size, bytes, size);
    stream->size += size;
    stream->bytes[stream->size] = '\0';
}

void numbered_stream_free(struct numbered_stream *stream)
{
    free(stream->bytes);
    *stream = (struct numbered_stream){.bytes = NULL};
}

/* The bytes that have not been parsed yet. */
struct rest {
    const char *at;
    size_t size;
    bool chunked;
};

static void skip(struct rest *rest, size_t size)
{
    rest->at += size;
    rest->size -= size;
}

/* Whether the rest begins with these bytes. If the rest ends within them, sets *truncated. */
static bool begins_with(const struct rest *rest, const char *bytes, size_t size, bool *truncated)
{
    if (rest->size >= size)
        return memcmp(rest->at, bytes, size) == 0;
    if (memcmp(rest->at, bytes, rest->size) == 0)
        *truncated = true;
    return false;
}

static bool take(struct rest *rest, const char *bytes, size_t size, bool *truncated)
{
    bool found = begins_with(rest, bytes, size, truncated);

    if (found)
        skip(rest, size);
    return found;
}

/* Room for the largest frame and its chunk. */
struct wire {
    char bytes[NUMBERED_DATA_MAX + 128];
    size_t size;
};

static void wrap(struct wire *wire, const char *frame, size_t size, bool chunked)
{
    int head = chunked ? snprintf(wire->bytes, sizeof(wire->bytes), "%zx\r\n", size) : 0;

    require(head >= 0 && (size_t)head + size + 2 <= sizeof(wire->bytes));
    memcpy(wire->bytes + head, frame, size);
    wire->size = (size_t)head + size;
    if (!chunked)
        return;
    memcpy(wire->bytes + wire->size, "\r\n", 2);
    wire->size += 2;
}

static void encode(struct wire *wire, const struct numbered_key *key, bool chunked)
{
    struct numbered_event text;
    struct sse_event event = numbered_event(key, &text);
    char frame[NUMBERED_DATA_MAX + 64];
    ssize_t size = sse_event_encode(&event, frame, sizeof(frame));

    require(size > 0 && (size_t)size <= sizeof(frame));
    wrap(wire, frame, (size_t)size, chunked);
}

static bool read_number(const char **at, unsigned *number)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    *number = (unsigned)strtoul(*at, &end, 10);
    *at = end + 1;
    return *end == ' ';
}

/* Reads the four numbers at the beginning of an event's data. The recorded bytes end in a NUL. */
static bool read_key(const struct rest *rest, struct numbered_key *key)
{
    const char *at = rest->at;

    if (rest->chunked) {
        at = strstr(at, "\r\n");
        if (!at)
            return false;
        at += 2;
    }
    if (strncmp(at, "data: ", 6))
        return false;
    at += 6;
    return read_number(&at, &key->publisher) && read_number(&at, &key->sequence) &&
           read_number(&at, &key->registry) && read_number(&at, &key->target);
}

/** The last event of each publisher: published, and sent to one emitter. The next one must be newer. */
struct newest {
    unsigned sequences[2][NUMBERED_PUBLISHERS_MAX];
    bool paused;
};

static void check_next(struct newest *newest, const struct numbered_key *key)
{
    unsigned *sequence;

    require(key->publisher < NUMBERED_PUBLISHERS_MAX && key->sequence < NUMBERED_SEQUENCE_MAX);
    sequence = &newest->sequences[newest->paused && key->target == NUMBERED_TO_ONE][key->publisher];
    require(*sequence < key->sequence + 1);
    *sequence = key->sequence + 1;
}

/* Handles the beginning of an event that was truncated within its numbers. */
static bool is_truncated_early(const struct rest *rest)
{
    const char *at = rest->at;

    if (rest->chunked) {
        at = strchr(at, '\n');
        if (!at)
            return strspn(rest->at, "0123456789abcdef\r") == rest->size;
        at++;
    }
    return rest->size < 40 && (!strncmp(at, "data: ", 6) || !strncmp("data: ", at, strlen(at)));
}

static bool take_event(struct rest *rest, struct numbered_list *list, struct newest *newest, bool *truncated)
{
    struct numbered_key key;
    struct wire wire;

    if (!read_key(rest, &key)) {
        *truncated = *truncated || is_truncated_early(rest);
        return false;
    }
    encode(&wire, &key, rest->chunked);
    if (!take(rest, wire.bytes, wire.size, truncated))
        return false;
    check_next(newest, &key);
    list->keys[list->count++] = key;
    return true;
}

static bool take_comment(struct rest *rest, bool *truncated)
{
    struct wire wire;

    wrap(&wire, ":\n", 2, rest->chunked);
    return take(rest, wire.bytes, wire.size, truncated);
}

/* The final event of a shutdown. */
static bool take_last_retry(struct rest *rest, bool *truncated)
{
    char retry[32];
    struct wire wire;
    int size = snprintf(retry, sizeof(retry), "retry: %d\n\n", NUMBERED_LAST_RETRY_MS);

    wrap(&wire, retry, (size_t)size, rest->chunked);
    return take(rest, wire.bytes, wire.size, truncated);
}

static void take_preamble(struct rest *rest, bool *truncated)
{
    const struct sse_http_options options = {.size = sizeof(options), .chunked = rest->chunked};
    char head[512], retry[32];
    ssize_t head_size = sse_http_head(head, sizeof(head), &options);
    struct wire wire;
    int size = snprintf(retry, sizeof(retry), "retry: %d\n", NUMBERED_RETRY_MS);

    require(head_size > 0 && (size_t)head_size <= sizeof(head));
    wrap(&wire, retry, (size_t)size, rest->chunked);
    if (take(rest, head, (size_t)head_size, truncated))
        (void)take(rest, wire.bytes, wire.size, truncated);
    require(*truncated || !rest->size || rest->at[-1] == '\n');
}

void numbered_list_init(struct numbered_list *list, const struct numbered_stream *stream,
                        const struct numbered_form *form)
{
    struct rest rest = {
        .at = stream->size ? stream->bytes : "", .size = stream->size, .chunked = form->chunked};
    struct newest newest = {.paused = form->paused};
    bool truncated = false;

    *list = (struct numbered_list){.keys = calloc(stream->size / 16 + 1, sizeof(*list->keys))};
    require(list->keys != NULL && strlen(rest.at) == rest.size);
    if (form->has_head)
        take_preamble(&rest, &truncated);
    while (rest.size && (take_event(&rest, list, &newest, &truncated) || take_comment(&rest, &truncated) ||
                         take_last_retry(&rest, &truncated)))
        ;
    list->whole = !rest.size;
    if (form->chunked && rest.size)
        list->last_chunk = take(&rest, "0\r\n\r\n", 5, &truncated);
    if (list->last_chunk)
        list->whole = !rest.size;
    require(!rest.size || truncated);
}

void numbered_list_free(struct numbered_list *list)
{
    free(list->keys);
    *list = (struct numbered_list){.keys = NULL};
}

static size_t index_of(const struct numbered_key *key)
{
    return (size_t)key->publisher * NUMBERED_SEQUENCE_MAX + key->sequence;
}

static bool concerns(const struct numbered_key *key, unsigned registry)
{
    return key->registry == registry && key->target != NUMBERED_TO_ONE;
}

/* Returns the position of the next event of the registry, or the end. */
static size_t next_position(const struct numbered_list *list, size_t from, unsigned registry)
{
    while (from < list->count && !concerns(&list->keys[from], registry))
        from++;
    return from;
}

/* Merges the lists. An event may be taken when it is the first of all lists that still contain it. */
struct merge {
    const struct numbered_list *lists;
    size_t count;
    unsigned registry;
    size_t *positions;
    unsigned *holders; /* for each event, the lists that contain it */
    unsigned *fronts;  /* for each event, the lists that begin with it */
};

static void come_to_front(struct merge *merge, size_t list, size_t from)
{
    merge->positions[list] = next_position(&merge->lists[list], from, merge->registry);
    if (merge->positions[list] < merge->lists[list].count)
        merge->fronts[index_of(&merge->lists[list].keys[merge->positions[list]])]++;
}

static bool advance(struct merge *merge, size_t list)
{
    size_t position = merge->positions[list], event;

    if (position == merge->lists[list].count)
        return false;
    event = index_of(&merge->lists[list].keys[position]);
    if (merge->fronts[event] < merge->holders[event])
        return false;
    come_to_front(merge, list, position + 1);
    return true;
}

static bool merge_all(struct merge *merge)
{
    bool moved = true;

    for (size_t i = 0; i < merge->count; i++) {
        for (size_t k = 0; k < merge->lists[i].count; k++)
            merge->holders[index_of(&merge->lists[i].keys[k])]++;
        come_to_front(merge, i, 0);
    }
    while (moved) {
        moved = false;
        for (size_t i = 0; i < merge->count; i++)
            moved = advance(merge, i) || moved;
    }
    for (size_t i = 0; i < merge->count; i++) {
        if (merge->positions[i] < merge->lists[i].count)
            return false;
    }
    return true;
}

bool numbered_lists_agree(const struct numbered_list *lists, size_t count, unsigned registry)
{
    const size_t events = NUMBERED_PUBLISHERS_MAX * NUMBERED_SEQUENCE_MAX;
    struct merge merge = {
        .lists = lists,
        .count = count,
        .registry = registry,
        .positions = calloc(count + 1, sizeof(size_t)),
        .holders = calloc(events, sizeof(unsigned)),
        .fronts = calloc(events, sizeof(unsigned)),
    };
    bool agree;

    require(merge.positions && merge.holders && merge.fronts);
    agree = merge_all(&merge);
    free(merge.positions);
    free(merge.holders);
    free(merge.fronts);
    return agree;
}

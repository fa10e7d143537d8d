/* SPDX-License-Identifier: MIT */
#include "api.h"
#include "event_reference.h"

#include <inttypes.h>
#include <stdio.h>

/* Events whose data show where they belong. */

#define DATA_MAX 2048

/* Longer than an event may have it. */
static struct sse_text long_id(struct world *world)
{
    char *id = fuzz_room(&world->texts, SSE_ID_SIZE_MAX + 1);

    memset(id, 'i', SSE_ID_SIZE_MAX + 1);
    return (struct sse_text){.ptr = id, .len = SSE_ID_SIZE_MAX + 1};
}

struct sse_text draw_id(struct world *world)
{
    static const char *const ids[] = {"", "1", "2", "three", "a b", " a", "x\ny", "0-0000000000000001"};
    unsigned which = fuzz_below(&world->input, 24);

    if (which < 8)
        return sse_str(ids[which]);
    if (which < 16 && world->id_count)
        return sse_str(world->ids[which % (world->id_count < IDS_MAX ? world->id_count : IDS_MAX)]);
    if (which == 16)
        return long_id(world);
    return (struct sse_text){.ptr = NULL};
}

static struct sse_text draw_data(struct world *world, char kind, size_t subject, unsigned topic)
{
    static const unsigned sizes[] = {0, 1, 20, 60, 120, 250, 700, 1900};
    char data[DATA_MAX];
    unsigned filler = sizes[fuzz_below(&world->input, 8)];
    int size = snprintf(data, sizeof(data), "%c%zu.%u.%" PRIu64 ".", kind, subject, topic, ++world->sequence);

    memset(data + size, filler % 3 ? '-' : '\n', filler);
    return fuzz_copy(&world->texts, data, (size_t)size + filler);
}

static struct sse_text draw_word(struct world *world)
{
    static const char *const words[] = {"a", "b", "a\r", "\xc3", ""};

    return sse_str(words[fuzz_below(&world->input, 5)]);
}

int draw_event(struct world *world, struct sse_event *event, char kind, size_t subject, unsigned topic)
{
    static const int64_t retries[] = {0, 0, 0, 1, 1000, SSE_RETRY_MAX, SSE_RETRY_MAX + 1, -1};
    unsigned fields = fuzz_byte(&world->input);

    *event = (struct sse_event){.data = draw_data(world, kind, subject, topic)};
    if (fields & 1)
        event->id = draw_id(world);
    if ((fields & 6) == 6)
        event->type = draw_word(world);
    if ((fields & 24) == 24)
        event->comment = draw_word(world);
    if ((fields & 96) == 96)
        event->retry_ms = retries[fuzz_below(&world->input, 8)];
    if (fields & 128)
        event->key = draw_word(world);
    return event_reference_error(event);
}

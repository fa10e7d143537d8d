/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The published events, and their expected bytes, encoded without the library. */

static char *arena_take(struct world *world, const char *bytes, size_t size)
{
    char *copy = world->arena + world->arena_used;

    if (world->arena_used + size > ARENA_SIZE)
        abort();
    memcpy(copy, bytes, size);
    world->arena_used += size;
    return copy;
}

struct sse_text arena_format(struct world *world, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof(text))
        abort();
    return (struct sse_text){arena_take(world, text, (size_t)size), (size_t)size};
}

bool records_have_room(const struct world *world)
{
    return world->record_count < RECORDS_MAX - 40 && world->arena_used < ARENA_SIZE - 16 * TEXT_MAX;
}

bool is_dispatched(const struct sse_event *event)
{
    return event->data.ptr || event->id.ptr;
}

struct sse_text assigned_id(struct world *world, uint64_t sequence)
{
    return arena_format(world, "%s-%016llx", world->id_prefix, (unsigned long long)sequence);
}

struct writer {
    char text[TEXT_MAX];
    size_t size;
};

static void put(struct writer *writer, const char *name, const char *bytes, size_t size)
{
    size_t name_size = strlen(name);

    if (writer->size + name_size + size + 1 > sizeof(writer->text))
        abort();
    memcpy(writer->text + writer->size, name, name_size);
    if (size)
        memcpy(writer->text + writer->size + name_size, bytes, size);
    writer->size += name_size + size;
    writer->text[writer->size++] = '\n';
}

/* An empty line of a comment is a colon alone. */
static void put_lines(struct writer *writer, const char *name, struct sse_text text)
{
    size_t start = 0;

    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '\n' && text.ptr[i] != '\r')
            continue;
        put(writer, i > start || *name != ':' ? name : ":", text.ptr + start, i - start);
        if (i + 1 < text.len && text.ptr[i] == '\r' && text.ptr[i + 1] == '\n')
            i++;
        start = i + 1;
    }
}

static void put_event(struct writer *writer, const struct sse_event *event, struct sse_text id)
{
    char digits[24];

    if (event->comment.ptr)
        put_lines(writer, ": ", event->comment);
    if (event->type.ptr)
        put(writer, "event: ", event->type.ptr, event->type.len);
    if (event->data.ptr)
        put_lines(writer, "data: ", event->data);
    if (id.ptr)
        put(writer, "id: ", id.ptr, id.len);
    if (event->retry_ms)
        put(writer, "retry: ", digits,
            (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)event->retry_ms));
    if (event->data.ptr || id.ptr)
        put(writer, "", NULL, 0);
}

/* The last event that clients recognise names the message: with its own id, or with an assigned one. */
static void name_record(struct world *world, struct record *record, unsigned last)
{
    bool published = record->topic != DIRECT;

    record->kept = published && world->scenario.history;
    record->assigned = record->kept && !record->events[last].id.ptr;
    if (record->kept)
        record->sequence = ++world->sequence;
    if (record->assigned)
        record->ids[last] = assigned_id(world, record->sequence);
    record->lasting = record->kept || (published && record->ids[last].len);
    record->seen_at = record->lasting ? last + 1 : 0;
}

struct record *record_new(struct world *world, int topic, const struct sse_event *events, unsigned count)
{
    struct record *record = &world->records[world->record_count++];
    struct writer writer = {.size = 0};
    unsigned last = PARTS_MAX;

    *record =
        (struct record){.topic = topic, .part_count = count, .counted = count, .time = world_now(world)};
    for (unsigned i = 0; i < count; i++) {
        record->events[i] = events[i];
        record->ids[i] = events[i].id;
        if (is_dispatched(&events[i]))
            last = i;
    }
    if (last < PARTS_MAX)
        name_record(world, record, last);
    for (unsigned i = 0; i < count; i++) {
        put_event(&writer, &events[i], record->ids[i]);
        record->ends[i] = writer.size;
        if (record->ids[i].ptr)
            record->id = record->ids[i];
    }
    if (record->seen_at)
        record->seen_at = record->ends[record->seen_at - 1];
    record->frame = arena_take(world, writer.text, writer.size);
    record->size = writer.size;
    return record;
}

/* Every event has its own tag, so that no two frames are equal. */
static struct sse_text draw_text(struct world *world, const char *tag)
{
    static const char *const forms[] = {"%s %.*s",     "%s\n%.*s",    "%s\r\n%.*s\r",
                                        " %s\r%.*s\n", "%s\n\n:%.*s", "data: %s:%.*s"};
    static const char filler[] =
        "the quick brown fox jumps over the lazy dog, again and again, until there is no more ink in "
        "the pen; then it sits down and looks at what it has done, and it is good; and in the morning "
        "it gets up and jumps again, because a fox has to do what a fox has to do, and a dog is a dog.";
    size_t size = chance_percent(world, 12) ? chance_below(world, sizeof(filler)) : chance_below(world, 24);

    /* Too large to be sent from the stack. */
    if (chance_percent(world, 1))
        return arena_format(world, "%s %.*s%s%s", tag, (int)size, filler, filler, filler);

    return arena_format(world, forms[chance_percent(world, 70) ? 0 : chance_below(world, 6)], tag, (int)size,
                        filler);
}

/* `last`: it is the last one of its record. An event within a batch must not have the id of the whole batch. */
static struct sse_text draw_id(struct world *world, int topic, const char *tag, bool last)
{
    size_t shared = 0;

    if (world->scenario.empty_ids && chance_percent(world, 10))
        return sse_str("");
    if (world->scenario.repeated_ids && last && chance_percent(world, 50))
        return arena_format(world, "again %zu of %d", chance_below(world, 4), topic);
    if (chance_percent(world, 4))
        return arena_format(
            world, "%s, an id that is longer than most and than what an emitter keeps in its own memory",
            tag);
    if (!world->scenario.shared_ids || topic == DIRECT || !last)
        return arena_format(world, "id %s", tag);
    for (size_t i = 0; i < world->record_count; i++)
        shared += world->records[i].topic == topic;
    return arena_format(world, "number %zu", shared);
}

static bool draws_id(struct world *world, int topic, bool last)
{
    if (topic == DIRECT)
        return chance_percent(world, 8);
    if (!last)
        return chance_percent(world, 3);
    return world->scenario.given_ids && chance_percent(world, 80);
}

static void draw_event(struct world *world, struct sse_event *event, int topic, unsigned part, bool last)
{
    size_t form = chance_below(world, 100);
    char tag[32];

    (void)snprintf(tag, sizeof(tag), "%zu.%u", world->record_count, part);
    if (form < 5) {
        event->comment = draw_text(world, tag);
        return;
    }
    if (form < 8) {
        event->retry_ms = 1000 + (int64_t)(world->record_count * PARTS_MAX + part);
        return;
    }
    if (draws_id(world, topic, last))
        event->id = draw_id(world, topic, tag, last);
    if (form < 11 && event->id.len) {
        event->comment = arena_format(world, "%s", tag);
        return;
    }
    event->data = form < 16 ? sse_str("") : draw_text(world, tag);
    if (!event->data.len || chance_percent(world, 5))
        event->comment = arena_format(world, "%s", tag);
    if (chance_percent(world, 20))
        event->type = sse_str("alarm");
    if (chance_percent(world, 4))
        event->retry_ms = 2500;
}

static struct record *draw_once(struct world *world, int topic)
{
    static const char *const keys[] = {"k", "price", "a longer key"};
    struct sse_event events[PARTS_MAX] = {{.retry_ms = 0}};
    unsigned count = chance_percent(world, 18) ? 2 + (unsigned)chance_below(world, PARTS_MAX - 1) : 1;

    for (unsigned i = 0; i < count; i++)
        draw_event(world, &events[i], topic, i, i + 1 == count);
    if (count == 1 && chance_percent(world, 30))
        events[0].key = sse_str(keys[chance_below(world, 3)]);
    return record_new(world, topic, events, count);
}

struct record *record_draw(struct world *world, int topic)
{
    for (int tries = 0; tries < 100; tries++) {
        struct record *record = draw_once(world, topic);
        struct history history = world->history;

        if (!record->kept)
            return record;
        history_add(world, &history, world->record_count - 1);
        if (!history.tie)
            return record;
        world->record_count--;
        world->sequence--;
    }
    abort();
}

size_t record_wire_size(const struct record *record, bool chunked)
{
    size_t digits = 1;

    if (!chunked)
        return record->size;
    for (size_t rest = record->size >> 4; rest; rest >>= 4)
        digits++;
    return digits + 2 + record->size + 2;
}

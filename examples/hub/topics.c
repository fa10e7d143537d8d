/* SPDX-License-Identifier: MIT */
#include "topics.h"

#include "clock.h"
#include "json.h"

#include <stdlib.h>

static int compare(struct sse_text left, struct sse_text right)
{
    size_t size = left.len < right.len ? left.len : right.len;
    int order = memcmp(left.ptr, right.ptr, size);

    if (order != 0)
        return order;
    return left.len < right.len ? -1 : left.len > right.len;
}

/** The place of the first topic that does not sort before `name`. */
static size_t find_place(const struct topics *topics, struct sse_text name)
{
    size_t low = 0;
    size_t high = topics->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(topics->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void forget(struct topics *topics, size_t place)
{
    struct topic *item = &topics->items[place];

    free((char *)(uintptr_t)item->name.ptr);
    --topics->count;
    memmove(item, item + 1, (topics->count - place) * sizeof(*item));
}

static void forget_oldest(struct topics *topics)
{
    size_t oldest = 0;

    for (size_t i = 1; i < topics->count; ++i) {
        if (topics->items[i].used_ms < topics->items[oldest].used_ms)
            oldest = i;
    }
    forget(topics, oldest);
}

static struct topic *insert(struct topics *topics, struct sse_text name)
{
    char *bytes = malloc(name.len);
    struct topic *item;

    if (!bytes)
        return NULL;
    memcpy(bytes, name.ptr, name.len);
    if (topics->count == TOPICS_MAX)
        forget_oldest(topics);
    item = &topics->items[find_place(topics, name)];
    memmove(item + 1, item, (size_t)(&topics->items[topics->count++] - item) * sizeof(*item));
    *item = (struct topic){.name = {.ptr = bytes, .len = name.len}};
    return item;
}

/** Finds or adds a topic and marks it as used now. Returns NULL without memory. */
static struct topic *use(struct topics *topics, struct sse_text name)
{
    size_t place = find_place(topics, name);
    struct topic *item = &topics->items[place];

    if (place == topics->count || compare(item->name, name) != 0)
        item = insert(topics, name);
    if (item)
        item->used_ms = clock_now_ms();
    return item;
}

void topics_note_subscriber(struct topics *topics, struct sse_text name)
{
    use(topics, name);
}

void topics_note_event(struct topics *topics, struct sse_text name)
{
    struct topic *item = use(topics, name);

    if (item)
        ++item->published;
}

void topics_forget_unused(struct topics *topics, struct sse_registry *registry, int64_t keep_ms)
{
    int64_t now_ms = clock_now_ms();

    for (size_t i = topics->count; keep_ms > 0 && i-- > 0;) {
        const struct topic *item = &topics->items[i];

        if (now_ms - item->used_ms >= keep_ms && sse_registry_count(registry, item->name) == 0)
            forget(topics, i);
    }
}

void topics_write(const struct topics *topics, struct sse_registry *registry, struct buffer *json)
{
    int64_t now_ms = clock_now_ms();

    buffer_text(json, "[");
    for (size_t i = 0; i < topics->count; ++i) {
        const struct topic *item = &topics->items[i];

        buffer_text(json, i == 0 ? "{" : ",{");
        json_name(json, "topic");
        json_string(json, item->name);
        json_count(json, "subscribers", sse_registry_count(registry, item->name));
        json_count(json, "published", item->published);
        json_count(json, "unused_ms", (uint64_t)(now_ms - item->used_ms));
        buffer_text(json, "}");
    }
    buffer_text(json, "]");
}

void topics_release(struct topics *topics)
{
    while (topics->count > 0)
        forget(topics, topics->count - 1);
}

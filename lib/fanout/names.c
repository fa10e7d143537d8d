/* SPDX-License-Identifier: MIT */
#include "fanout/names.h"

/** An id in one topic. The bytes of the id are in the last message that had it. */
struct name {
    struct map_node node;     /* in the scope of its topic */
    struct map_node anywhere; /* in the scope of all topics; only one of the names with this id is in it */
    struct name *previous;    /* the same id, in other topics */
    struct name *next;
    uint64_t sequence;
};

size_t sse_names_cost(void)
{
    return sizeof(struct name) + 2 * sizeof(struct map_node *);
}

void sse_names_init(struct names *names, const struct sse_platform *platform)
{
    names->platform = platform;
    sse_map_init(&names->map, platform);
}

void sse_names_free(struct names *names)
{
    sse_map_free(&names->map, names->platform);
}

static struct name *find_in(const struct names *names, const struct topic *topic, struct sse_text id)
{
    struct map_node *node = sse_map_find(&names->map, topic, id.ptr, id.len);

    return node ? (struct name *)(void *)((char *)node - offsetof(struct name, node)) : NULL;
}

static struct name *find_first(const struct names *names, struct sse_text id)
{
    struct map_node *node = sse_map_find(&names->map, NULL, id.ptr, id.len);

    return node ? (struct name *)(void *)((char *)node - offsetof(struct name, anywhere)) : NULL;
}

static struct topic *topic_of(const struct name *name)
{
    return (struct topic *)(uintptr_t)name->node.scope;
}

/* Links the name behind the first one with the same id, or makes it the first. The insertion cannot fail, because
 * the map has a bucket already. */
static void link_name(struct names *names, struct name *name, struct sse_text id)
{
    struct name *first = find_first(names, id);

    if (!first) {
        (void)sse_map_insert(&names->map, &name->anywhere, names->platform);
        return;
    }
    topic_of(first)->shares_ids = true;
    topic_of(name)->shares_ids = true;
    name->previous = first;
    name->next = first->next;
    if (name->next)
        name->next->previous = name;
    first->next = name;
}

static void unlink_name(struct names *names, struct name *name)
{
    if (name->next)
        name->next->previous = name->previous;
    if (name->previous) {
        name->previous->next = name->next;
        return;
    }
    sse_map_remove(&names->map, &name->anywhere);
    if (name->next)
        (void)sse_map_insert(&names->map, &name->next->anywhere, names->platform);
}

bool sse_names_reserve(struct names *names, struct topic *topic, struct sse_text id)
{
    struct name *name;

    if (find_in(names, topic, id))
        return true;
    name = sse_platform_allocate(names->platform, sizeof(*name));
    if (!name)
        return false;
    *name = (struct name){
        .node = {.key = id.ptr, .key_size = id.len, .scope = topic},
        .anywhere = {.key = id.ptr, .key_size = id.len},
    };
    if (!sse_map_insert(&names->map, &name->node, names->platform)) {
        sse_platform_deallocate(names->platform, name);
        return false;
    }
    link_name(names, name, id);
    return true;
}

void sse_names_set(struct names *names, const struct topic *topic, struct sse_text id, uint64_t sequence)
{
    struct name *name = find_in(names, topic, id);

    name->node.key = id.ptr;
    name->anywhere.key = id.ptr;
    name->sequence = sequence;
}

void sse_names_forget(struct names *names, const struct topic *topic, struct sse_text id, uint64_t sequence)
{
    struct name *name = find_in(names, topic, id);

    if (name->sequence != sequence)
        return;
    unlink_name(names, name);
    sse_map_remove(&names->map, &name->node);
    sse_platform_deallocate(names->platform, name);
}

bool sse_names_has(const struct names *names, struct sse_text id)
{
    return find_first(names, id);
}

bool sse_names_find(const struct names *names, const struct topic *topic, struct sse_text id,
                    uint64_t *sequence)
{
    const struct name *name = find_in(names, topic, id);

    if (name)
        *sequence = name->sequence;
    return name;
}

bool sse_names_find_anywhere(const struct names *names, struct sse_text id, uint64_t *sequence)
{
    const struct name *name = find_first(names, id);

    if (!name || name->next)
        return false;
    *sequence = name->sequence;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "data/queue_keys.h"
#include "base/platform.h"
#include "base/siphash.h"

/** A place whose message had a key with this hash when the entry was added. */
struct key_entry {
    uint32_t hash; /* odd; 0: the entry is free */
    uint32_t place;
};

/* A hash table with open addressing. A new key gets the first entry that is free or whose place is empty. */
struct queue_keys {
    uint64_t secret[2];
    uint32_t size;  /* a power of two, twice the places of the ring */
    uint32_t used;  /* entries that are not free */
    uint32_t added; /* all places below this number that may be searched are added */
    struct key_entry entries[];
};

_Static_assert(QUEUE_CAPACITY_MAX <= (SIZE_MAX - sizeof(struct queue_keys)) / (2 * sizeof(struct key_entry)),
               "the size of a table overflows");

static uint32_t hash_of(const struct queue_keys *keys, struct sse_text key)
{
    return (uint32_t)sse_siphash(keys->secret, key.ptr, key.len) | 1;
}

/* The message at a place; NULL if the queue no longer has the place, or it is empty. */
static struct sse_message *message_at(const struct queue *queue, uint32_t place)
{
    uint32_t index = place - queue->ring->first;

    return index < sse_queue_places(queue) ? sse_queue_at(queue, index) : NULL;
}

/* The lowest bit of a hash is always 1, so it is not used: it would leave every second entry free. */
static uint32_t home_of(const struct queue_keys *keys, uint32_t hash)
{
    return hash >> 1 & (keys->size - 1);
}

static void add(const struct queue *queue, uint32_t place)
{
    struct queue_keys *keys = queue->ring->keys;
    const struct sse_message *message = message_at(queue, place);
    uint32_t hash, at;

    if (!message || !message->key.ptr)
        return;
    hash = hash_of(keys, message->key);
    at = home_of(keys, hash);
    while (keys->entries[at].hash && message_at(queue, keys->entries[at].place))
        at = (at + 1) & (keys->size - 1);
    keys->used += !keys->entries[at].hash;
    keys->entries[at] = (struct key_entry){.hash = hash, .place = place};
}

/* The first place that is added. Exempt messages are never dropped by their key. A replay may have any number of
 * them with one key, and their entries would be one long chain. */
static uint32_t begin_of(const struct queue *queue)
{
    return queue->ring->first + queue->exempt;
}

void sse_queue_keys_clear(struct queue *queue)
{
    struct queue_keys *keys = queue->ring->keys;

    memset(keys->entries, 0, keys->size * sizeof(keys->entries[0]));
    keys->used = 0;
    keys->added = begin_of(queue);
}

/* At least a quarter of the entries is free, so that every search ends. After a clear at least half are free. */
static bool has_room(const struct queue_keys *keys, uint32_t more)
{
    return keys->used + more <= keys->size / 4 * 3;
}

static void add_new(struct queue *queue)
{
    struct queue_keys *keys = queue->ring->keys;
    uint32_t begin = begin_of(queue), places = sse_queue_places(queue) - queue->exempt;

    /* Messages that were queued and written since the last search are not added. */
    if (keys->added - begin > places)
        keys->added = begin;
    while (keys->added - begin < places) {
        if (!has_room(keys, 1))
            sse_queue_keys_clear(queue);
        add(queue, keys->added++);
    }
}

bool sse_queue_keys_make(struct queue *queue, const struct sse_platform *platform)
{
    struct queue_ring *ring = queue->ring;
    uint32_t size = 2 * ring->capacity;
    struct queue_keys *keys;

    if (ring->keys)
        return true;
    keys = sse_platform_allocate(platform, sizeof(*keys) + size * sizeof(keys->entries[0]));
    if (!keys)
        return false;
    /* The addresses make the secret, because a client that chooses keys does not know them. */
    keys->secret[0] = sse_platform_jitter(platform, (uintptr_t)keys);
    keys->secret[1] = sse_platform_jitter(platform, (uintptr_t)sse_queue_first(queue));
    keys->size = size;
    ring->keys = keys;
    sse_queue_keys_clear(queue);
    return true;
}

uint32_t sse_queue_keys_find(struct queue *queue, struct sse_text key, uint32_t index)
{
    const struct queue_keys *keys = queue->ring->keys;
    uint32_t found = UINT32_MAX, hash = hash_of(keys, key);

    add_new(queue);
    for (uint32_t at = home_of(keys, hash); keys->entries[at].hash; at = (at + 1) & (keys->size - 1)) {
        uint32_t candidate = keys->entries[at].place - queue->ring->first;

        if (keys->entries[at].hash == hash && candidate >= index && candidate < found &&
            sse_queue_has_key(message_at(queue, keys->entries[at].place), key))
            found = candidate;
    }
    return found;
}

void sse_queue_keys_add_front(struct queue *queue, uint32_t count)
{
    if (!has_room(queue->ring->keys, count))
        sse_queue_keys_clear(queue);
    else
        for (uint32_t i = queue->exempt; i < count; i++)
            add(queue, queue->ring->first + i);
}

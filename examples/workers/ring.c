/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include "ring_memory.h"

#include <inttypes.h>
#include <signal.h>
#include <sse/registry.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* An entry consists of its number, the sizes of its texts, and their bytes. */
enum { TOPIC, TYPE, DATA, KEY, TEXTS };
#define HEAD_WORDS 3
#define ABSENT UINT32_MAX

/* -- ids --------------------------------------------------------------------------------------- */

const char *ring_format_id(const struct ring *ring, uint64_t number, char id[RING_ID_SIZE])
{
    snprintf(id, RING_ID_SIZE, "%" PRIx64 "-%" PRIu64, ring->era, number);
    return id;
}

bool ring_parse_id(const struct ring *ring, struct sse_text id, uint64_t *number)
{
    char text[RING_ID_SIZE], same[RING_ID_SIZE];
    const char *dash;
    uint64_t parsed;

    if (!id.len || id.len >= RING_ID_SIZE)
        return false;
    memcpy(text, id.ptr, id.len);
    text[id.len] = '\0';
    dash = strchr(text, '-');
    if (!dash)
        return false;
    parsed = strtoull(dash + 1, NULL, 10);
    if (strlen(text) != id.len || strcmp(text, ring_format_id(ring, parsed, same)) != 0 ||
        parsed > ring_newest(ring))
        return false;
    *number = parsed;
    return true;
}

/* -- reading ----------------------------------------------------------------------------------- */

uint64_t ring_newest(const struct ring *ring)
{
    return atomic_load(&ring->shared->newest);
}

uint64_t ring_oldest(const struct ring *ring)
{
    return atomic_load(&ring->shared->oldest);
}

static size_t words_of(size_t bytes)
{
    return HEAD_WORDS + (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

static _Atomic uint64_t *word_at(const struct ring *ring, uint64_t place)
{
    return &ring->words[place & (ring->word_count - 1)];
}

static _Atomic uint64_t *place_of(const struct ring *ring, uint64_t number)
{
    return &ring->places[number % ring->slots];
}

struct ring_entry *ring_entry_new(const struct ring *ring)
{
    return malloc(sizeof(struct ring_entry) + words_of(ring->event_bytes) * sizeof(uint64_t));
}

static struct sse_text next_text(const char **bytes, const struct ring_entry *entry, unsigned index)
{
    const uint64_t pair = entry->words[1 + index / 2];
    const uint32_t size = (uint32_t)(index % 2 ? pair >> 32 : pair);
    struct sse_text text = {size == ABSENT ? NULL : *bytes, size == ABSENT ? 0 : size};

    *bytes += text.len;
    return text;
}

static void unpack(struct ring_entry *entry)
{
    const char *bytes = (const char *)(entry->words + HEAD_WORDS);

    entry->topic = next_text(&bytes, entry, TOPIC);
    entry->event = (struct sse_event){.trusted_utf8 = true};
    entry->event.type = next_text(&bytes, entry, TYPE);
    entry->event.data = next_text(&bytes, entry, DATA);
    entry->event.key = next_text(&bytes, entry, KEY);
}

/* Each load acquires. So if it sees a word of a later event, the load of `oldest` sees that this event was
 * discarded. */
int ring_read(const struct ring *ring, uint64_t number, struct ring_entry *entry)
{
    const size_t most = words_of(ring->event_bytes);
    uint64_t place, count;

    if (number > ring_newest(ring))
        return 0;
    place = atomic_load_explicit(place_of(ring, number), memory_order_acquire);
    count = atomic_load_explicit(place_of(ring, number + 1), memory_order_acquire) - place;
    for (size_t i = 0; i < count && i < most; i++)
        entry->words[i] = atomic_load_explicit(word_at(ring, place + i), memory_order_acquire);
    if (ring_oldest(ring) > number)
        return -ENODATA;
    unpack(entry);
    return 1;
}

/* -- publishing -------------------------------------------------------------------------------- */

static int check(const struct ring *ring, struct sse_text topic, const struct sse_event *event)
{
    ssize_t size = sse_event_encode(event, NULL, 0);

    if (size < 0)
        return (int)size;
    if (event->id.ptr || event->comment.ptr || event->retry_ms || (!topic.ptr && topic.len))
        return -EINVAL;
    if ((topic.ptr && !topic.len) || topic.len > SSE_TOPIC_SIZE_MAX)
        return -EBADMSG;
    return (size_t)size + topic.len + event->key.len > ring->event_bytes ? -EMSGSIZE : 0;
}

static uint64_t size_of(struct sse_text text)
{
    return text.ptr ? text.len : ABSENT;
}

/* All members except the number are written before the lock is taken. */
static uint64_t *pack(struct sse_text topic, const struct sse_event *event, size_t *count)
{
    const struct sse_text texts[TEXTS] = {topic, event->type, event->data, event->key};
    uint64_t *words;
    char *bytes;

    *count = words_of(topic.len + event->type.len + event->data.len + event->key.len);
    words = calloc(*count, sizeof(*words));
    if (!words)
        return NULL;
    words[1] = size_of(texts[TOPIC]) | size_of(texts[TYPE]) << 32;
    words[2] = size_of(texts[DATA]) | size_of(texts[KEY]) << 32;
    bytes = (char *)(words + HEAD_WORDS);
    for (int i = 0; i < TEXTS; i++) {
        if (texts[i].len)
            memcpy(bytes, texts[i].ptr, texts[i].len);
        bytes += texts[i].len;
    }
    return words;
}

/* Takes over the lock if its owner has died. The words that the owner wrote belong to no event yet. */
static int lock(struct ring *ring)
{
    struct timespec until;
    int error;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RING_LOCK_MS / 1000;
    error = pthread_mutex_timedlock(&ring->shared->lock, &until);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&ring->shared->lock);
    return -error;
}

static void make_room(struct ring *ring, uint64_t number, uint64_t end)
{
    struct shared *shared = ring->shared;
    uint64_t oldest = atomic_load(&shared->oldest);

    while (end - atomic_load(place_of(ring, oldest)) > ring->word_count || number - oldest >= ring->slots - 1)
        atomic_store(&shared->oldest, ++oldest);
}

static uint64_t append(struct ring *ring, uint64_t *words, size_t count)
{
    const uint64_t number = ring_newest(ring) + 1, place = atomic_load(place_of(ring, number));

    ring_stop(RING_STOP_LOCKED);
    make_room(ring, number, place + count);
    ring_stop(RING_STOP_ROOM);
    words[0] = number;
    for (size_t i = 0; i < count; i++) {
        atomic_store_explicit(word_at(ring, place + i), words[i], memory_order_release);
        if (i == count / 2)
            ring_stop(RING_STOP_HALF);
    }
    atomic_store_explicit(place_of(ring, number + 1), place + count, memory_order_release);
    ring_stop(RING_STOP_WRITTEN);
    atomic_store(&ring->shared->newest, number);
    ring_stop(RING_STOP_PUBLISHED);
    return number;
}

/* If the pipe is full, it is readable anyway. */
static void wake(const struct ring *ring, size_t place)
{
    ssize_t written = write(ring->pipes[place][1], "", 1);

    (void)written;
}

static void wake_sleepers(struct ring *ring)
{
    for (size_t place = 0; place < ring->readers; place++) {
        if (atomic_load(&ring->seats[place].asleep))
            wake(ring, place);
    }
}

int ring_publish(struct ring *ring, struct sse_text topic, const struct sse_event *event,
                 char id[RING_ID_SIZE])
{
    int error = check(ring, topic, event);
    uint64_t *words, number = 0;
    size_t count;

    if (error)
        return error;
    words = pack(topic, event, &count);
    if (!words)
        return -ENOMEM;
    ring_stop(RING_STOP_PACKED);
    error = lock(ring);
    if (!error) {
        number = append(ring, words, count);
        pthread_mutex_unlock(&ring->shared->lock);
        ring_stop(RING_STOP_UNLOCKED);
        wake_sleepers(ring);
    }
    free(words);
    if (!error && id)
        ring_format_id(ring, number, id);
    return error;
}

/* -- waiting ----------------------------------------------------------------------------------- */

static bool is_free(uint64_t owner)
{
    return !owner || (kill((pid_t)owner, 0) < 0 && errno == ESRCH);
}

/* A publisher writes only while the reader sleeps, so the pipe never holds more than a few bytes. */
void ring_begin(struct ring *ring, int place)
{
    char bytes[4096];
    ssize_t size = 1;

    atomic_store(&ring->seats[place].asleep, 0);
    while (size > 0)
        size = read(ring->pipes[place][0], bytes, sizeof(bytes));
}

int ring_attach(struct ring *ring)
{
    for (size_t place = 0; place < ring->readers; place++) {
        struct seat *seat = &ring->seats[place];
        uint64_t owner = atomic_load(&seat->owner);

        if (is_free(owner) && atomic_compare_exchange_strong(&seat->owner, &owner, (uint64_t)getpid())) {
            ring_begin(ring, (int)place);
            wake_sleepers(ring);
            return (int)place;
        }
    }
    return -EAGAIN;
}

void ring_detach(struct ring *ring, int place)
{
    atomic_store(&ring->seats[place].asleep, 0);
    atomic_store(&ring->seats[place].owner, 0);
}

int ring_fd(const struct ring *ring, int place)
{
    return ring->pipes[place][0];
}

/* A publisher stores `newest` and then reads `asleep`. The reader stores `asleep` and then reads `newest`. So at
 * least one of them sees the other's change. A publisher that dies in between has not changed `asleep`, so the next
 * publisher wakes the reader. */
bool ring_sleep(struct ring *ring, int place, uint64_t read)
{
    struct seat *seat = &ring->seats[place];

    atomic_store(&seat->asleep, 1);
    if (ring_newest(ring) == read)
        return true;
    atomic_store(&seat->asleep, 0);
    wake(ring, (size_t)place);
    return false;
}

/* SPDX-License-Identifier: MIT */
#include "fanout/archive.h"
#include "base/deadline.h"
#include "wire/id.h"
#include "wire/utf8.h"

#include <errno.h>

#define DEFAULT_BYTES ((size_t)16 << 20)
#define SEQUENCE_DIGITS 16
/* This takes about a quarter of a millisecond. */
#define EXPIRE_AT_ONCE 256

static char hexadecimal(uint64_t digit)
{
    return (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
}

static void write_hexadecimal(char *text, uint64_t number)
{
    for (size_t i = SEQUENCE_DIGITS; i; number >>= 4)
        text[--i] = hexadecimal(number & 0xf);
}

static bool read_hexadecimal(const char *text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < SEQUENCE_DIGITS; i++) {
        uint64_t digit = 0;

        while (digit < 16 && hexadecimal(digit) != text[i])
            digit++;
        if (digit == 16)
            return false;
        *number = *number << 4 | digit;
    }
    return true;
}

static int init_prefix(struct archive *archive, struct sse_text prefix)
{
    if (!prefix.ptr) {
        write_hexadecimal(archive->prefix, sse_platform_secret(archive->platform));
        archive->prefix_size = SEQUENCE_DIGITS;
        return prefix.len ? -EINVAL : 0;
    }
    if (!prefix.len || prefix.len > SSE_ID_PREFIX_SIZE_MAX ||
        !sse_id_is_valid((const unsigned char *)prefix.ptr, prefix.len) ||
        !sse_utf8_is_valid((const unsigned char *)prefix.ptr, prefix.len))
        return -EINVAL;
    memcpy(archive->prefix, prefix.ptr, prefix.len);
    archive->prefix_size = prefix.len;
    return 0;
}

int sse_archive_init(struct archive *archive, const struct sse_registry_options *options,
                     struct topics *topics)
{
    struct sse_history_limits all = options->history, topic = options->topic_history;

    if (options->history_age_ms < 0)
        return -EINVAL;
    if (!all.bytes)
        all.bytes = DEFAULT_BYTES;
    *archive = (struct archive){
        .platform = options->platform,
        .topics = topics,
        .limits = all,
        .topic_limits = {.events = topic.events ? topic.events : all.events,
                         .bytes = topic.bytes ? topic.bytes : all.bytes},
        .age = options->history_age_ms ? duration_from_ms(options->history_age_ms) : DEADLINE_NEVER,
        .sequence = options->first_id ? options->first_id - 1 : 0,
    };
    topics->have_past = all.events > 0;
    topics->remembered_bytes_max = all.bytes;
    /* This process does not have the events of an earlier process, which assigned the lower numbers. */
    topics->lost = archive->sequence;
    sse_names_init(&archive->names, options->platform);
    return init_prefix(archive, options->id_prefix);
}

bool sse_archive_is_on(const struct archive *archive)
{
    return archive->limits.events > 0;
}

size_t sse_archive_id_size(const struct archive *archive)
{
    return archive->prefix_size + 1 + SEQUENCE_DIGITS;
}

void sse_archive_format_id(const struct archive *archive, uint64_t sequence, char *id)
{
    memcpy(id, archive->prefix, archive->prefix_size);
    id[archive->prefix_size] = '-';
    write_hexadecimal(id + archive->prefix_size + 1, sequence);
}

/* Reads the number of an id. False if the id does not have the form of an assigned one. */
static bool read_id(const struct archive *archive, struct sse_text id, uint64_t *number)
{
    return id.ptr && id.len == sse_archive_id_size(archive) &&
           !memcmp(id.ptr, archive->prefix, archive->prefix_size) && id.ptr[archive->prefix_size] == '-' &&
           read_hexadecimal(id.ptr + archive->prefix_size + 1, number);
}

int sse_archive_check_id(const struct archive *archive, struct sse_text id)
{
    uint64_t number;

    if (!sse_archive_is_on(archive))
        return 0;
    if (!id.ptr && id.len)
        return -EINVAL;
    return read_id(archive, id, &number) ? -EINVAL : 0;
}

bool sse_archive_find_assigned(const struct archive *archive, struct sse_text id, uint64_t *sequence)
{
    uint64_t number;

    if (!read_id(archive, id, &number) || number > archive->sequence)
        return false;
    *sequence = number;
    return true;
}

/* Charges the memory of a topic to the history, because many topics with one event each cost more than their
 * events. */
static void charge_topic(struct archive *archive, struct topic *topic)
{
    size_t charge = 0;

    if (topic->past->history.count)
        charge = sse_topic_size(topic) + sse_history_spare(&topic->past->history);
    archive->bytes += charge - topic->past->charged;
    topic->past->charged = charge;
}

/* Updates the heaps, which have every topic with a retained event. */
static void note_topic(struct archive *archive, struct topic *topic)
{
    struct topic_past *past = topic->past;
    uint64_t size = UINT64_MAX - past->history.bytes, time;

    charge_topic(archive, topic);
    if (!past->history.count) {
        sse_heap_remove(&archive->by_size, &past->size);
        sse_heap_remove(&archive->by_age, &past->age);
        return;
    }
    time = sse_history_at(&past->history, 0)->time;
    if (past->size.position == HEAP_NOWHERE) {
        sse_heap_push(&archive->by_size, &past->size, size);
        sse_heap_push(&archive->by_age, &past->age, time);
    } else {
        sse_heap_update(&archive->by_size, &past->size, size);
        sse_heap_update(&archive->by_age, &past->age, time);
    }
}

/* The memory that the history leaves to topics that are only remembered. */
static size_t room_of(const struct archive *archive)
{
    return archive->bytes < archive->limits.bytes ? archive->limits.bytes - archive->bytes : 0;
}

static void drop_oldest_of(struct archive *archive, struct topic *topic)
{
    const struct history_entry *entry = sse_history_at(&topic->past->history, 0);
    size_t cost = sse_history_cost(entry);

    if (entry->named)
        sse_names_forget(&archive->names, topic, sse_message_id(entry->message), entry->sequence);
    sse_history_drop_first(&topic->past->history, archive->platform);
    archive->events--;
    archive->bytes -= cost;
    note_topic(archive, topic);
    sse_topics_limit_remembered(archive->topics, room_of(archive));
    sse_topics_free_if_unused(archive->topics, topic);
}

static bool topic_is_over(const struct archive *archive, const struct topic *topic)
{
    return topic->past->history.count > archive->topic_limits.events ||
           topic->past->history.bytes > archive->topic_limits.bytes;
}

static void enforce_limits(struct archive *archive, struct topic *topic)
{
    size_t count = topic->past->history.count;

    /* Counted before, because the topic may be freed with its last event. */
    for (; count && topic_is_over(archive, topic); count--)
        drop_oldest_of(archive, topic);
    while (archive->events &&
           (archive->events > archive->limits.events || archive->bytes > archive->limits.bytes))
        drop_oldest_of(archive, sse_topic_of_size(sse_heap_first(&archive->by_size)));
    sse_topics_limit_remembered(archive->topics, room_of(archive));
}

/* Makes room for an event. The ring comes last, because its memory is charged: nothing must fail after it has
 * grown. `id` is absent if the publisher gave none. */
static bool reserve(struct archive *archive, struct topic *topic, struct sse_text id)
{
    size_t topics = archive->by_size.count + 1;

    if (!sse_heap_reserve(&archive->by_size, topics, archive->platform) ||
        !sse_heap_reserve(&archive->by_age, topics, archive->platform) ||
        (id.len && !sse_names_reserve(&archive->names, topic, id)))
        return false;
    if (sse_history_reserve(&topic->past->history, archive->platform))
        return true;
    if (id.len)
        sse_names_forget(&archive->names, topic, id, 0);
    return false;
}

int sse_archive_retain(struct archive *archive, struct topic *topic, struct sse_message *message,
                       bool assigned, uint64_t now)
{
    /* An empty id clears the id of the client, so no client can come back with it. */
    bool named = !assigned && sse_message_id(message).len;
    char id[SSE_ASSIGNED_ID_SIZE];

    if (!reserve(archive, topic, named ? sse_message_id(message) : (struct sse_text){.ptr = NULL}))
        return -ENOMEM;
    archive->sequence++;
    if (assigned) {
        sse_archive_format_id(archive, archive->sequence, id);
        sse_message_patch_id(message, id);
    } else if (named) {
        sse_names_set(&archive->names, topic, sse_message_id(message), archive->sequence);
    }
    sse_history_push(&topic->past->history, (struct history_entry){
                                                .sequence = archive->sequence,
                                                .time = now,
                                                .message = message,
                                                .extra = named ? (uint32_t)sse_names_cost() : 0,
                                                .named = named,
                                            });
    archive->events++;
    archive->bytes += sse_history_cost(sse_history_at(&topic->past->history, topic->past->history.count - 1));
    note_topic(archive, topic);
    enforce_limits(archive, topic);
    return 0;
}

static bool is_expired(const struct archive *archive, const struct history_entry *entry, uint64_t now)
{
    return deadline_is_due(deadline_after(entry->time, archive->age), now);
}

uint64_t sse_archive_lost(const struct archive *archive, const struct topic *topic, uint64_t now)
{
    const struct history *history = &topic->past->history;
    size_t low = 0, high = history->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (is_expired(archive, sse_history_at(history, middle), now))
            low = middle + 1;
        else
            high = middle;
    }
    return low ? sse_history_at(history, low - 1)->sequence : history->lost;
}

void sse_archive_expire(struct archive *archive, uint64_t now)
{
    for (int i = 0; i < EXPIRE_AT_ONCE; i++) {
        struct heap_node *oldest = sse_heap_first(&archive->by_age);

        if (!oldest || !deadline_is_due(deadline_after(oldest->deadline, archive->age), now))
            return;
        drop_oldest_of(archive, sse_topic_of_age(oldest));
    }
}

void sse_archive_free(struct archive *archive)
{
    while (archive->events)
        drop_oldest_of(archive, sse_topic_of_size(sse_heap_first(&archive->by_size)));
    sse_heap_free(&archive->by_size, archive->platform);
    sse_heap_free(&archive->by_age, archive->platform);
    sse_names_free(&archive->names);
}

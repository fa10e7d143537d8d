/* SPDX-License-Identifier: MIT */
#include "ring_reader.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DRAIN_EVENTS 256
#define MISSED_BYTES_MAX ((size_t)1 << 20)
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 1000

struct ring_reader {
    struct ring_reader_options options;
    int place;
    pthread_mutex_t lock; /* over `read`, `entry`, and publishing to the registry */
    uint64_t read;        /* the registry has published every event up to this number */
    struct ring_entry *entry;
};

/** A client whose stream is being opened. */
struct joining {
    struct ring_reader *reader;
    struct sse_emitter *emitter;
    const struct sse_emitter_options *options;
    struct ring_entry *entry;
    uint64_t have; /* the client has every event up to this number */
    uint64_t end;  /* later events are live */
};

/* -- the registry follows the ring -------------------------------------------------------------- */

/** The gap event and its texts. */
struct gap {
    struct sse_event event;
    char id[RING_ID_SIZE];
    char data[2 * RING_ID_SIZE + SSE_ID_SIZE_MAX];
};

/* An id contains no line ends. Any other text might forge a line of the data. */
static bool can_be_id(struct sse_text text)
{
    return text.len <= SSE_ID_SIZE_MAX && sse_event_encode(&(struct sse_event){.id = text}, NULL, 0) > 0;
}

/* `next` is the number of the event after the gap; 0: there is none. The client continues from `id`. */
static const struct sse_event *describe_gap(const struct ring_reader *reader, struct gap *gap,
                                            struct sse_text asked, uint64_t next, uint64_t id)
{
    char following[RING_ID_SIZE] = "";
    int size;

    if (next)
        ring_format_id(reader->options.ring, next, following);
    size = snprintf(gap->data, sizeof(gap->data), "%.*s\n%s", can_be_id(asked) ? (int)asked.len : 0,
                    asked.ptr ? asked.ptr : "", following);
    gap->event = (struct sse_event){.type = reader->options.gap_type, .data = {gap->data, (size_t)size}};
    gap->event.id = sse_str(ring_format_id(reader->options.ring, id, gap->id));
    return &gap->event;
}

/* For the clients of this process, every unpublished event up to `last` is lost. */
static int publish_gap(struct ring_reader *reader, uint64_t last)
{
    char read[RING_ID_SIZE];
    struct gap gap;
    int error;

    ring_format_id(reader->options.ring, reader->read, read);
    error = sse_registry_publish(reader->options.registry, sse_str(NULL),
                                 describe_gap(reader, &gap, sse_str(read), last + 1, last), NULL);
    if (!error)
        reader->read = last;
    return error;
}

static int publish_entry(struct ring_reader *reader)
{
    struct ring_entry *entry = reader->entry;
    char id[RING_ID_SIZE];
    int error;

    entry->event.id = sse_str(ring_format_id(reader->options.ring, reader->read + 1, id));
    error = sse_registry_publish(reader->options.registry, entry->topic, &entry->event, NULL);
    if (error == -ENOMEM)
        return error;
    /* If the registry refuses an event, the next ones must still be published. */
    if (error)
        return publish_gap(reader, reader->read + 1);
    reader->read++;
    return 0;
}

/* Returns 1 if there was an event, otherwise 0. */
static int publish_next(struct ring_reader *reader)
{
    int result = ring_read(reader->options.ring, reader->read + 1, reader->entry);

    if (!result)
        return 0;
    if (result < 0)
        result = publish_gap(reader, ring_oldest(reader->options.ring) - 1);
    else
        result = publish_entry(reader);
    return result ? result : 1;
}

/* Ends at the event that is the newest now, so publishers that never stop cannot keep it busy for ever. */
static int catch_up(struct ring_reader *reader)
{
    const uint64_t newest = ring_newest(reader->options.ring);
    int result = 1;

    while (result > 0 && reader->read < newest)
        result = publish_next(reader);
    return result < 0 ? result : 0;
}

int ring_reader_drain(struct ring_reader *reader)
{
    struct ring *ring = reader->options.ring;
    int result = 1;

    pthread_mutex_lock(&reader->lock);
    ring_begin(ring, reader->place);
    for (int count = 0; count < DRAIN_EVENTS && result > 0; count++)
        result = publish_next(reader);
    if (result >= 0)
        result = ring_sleep(ring, reader->place, reader->read) ? 0 : 1;
    pthread_mutex_unlock(&reader->lock);
    return result;
}

/* -- a stream begins ---------------------------------------------------------------------------- */

static bool is_wanted(const struct sse_emitter_options *options, struct sse_text topic)
{
    for (size_t i = 0; i < options->topic_count; i++) {
        if (options->topics[i].len == topic.len && !memcmp(options->topics[i].ptr, topic.ptr, topic.len))
            return true;
    }
    return !topic.ptr;
}

/* Also returns false if the stream has ended. */
static bool has_room(struct sse_emitter *emitter)
{
    struct sse_emitter_info info;

    return !sse_emitter_get_info(emitter, &info, sizeof(info)) && info.state == SSE_STATE_OPEN &&
           info.queued_bytes < MISSED_BYTES_MAX;
}

static bool tell_gap(struct joining *joining, struct sse_text asked, uint64_t next, uint64_t id)
{
    struct gap gap;

    return !sse_emitter_send(joining->emitter, describe_gap(joining->reader, &gap, asked, next, id));
}

/* Events that were overwritten during the replay are a gap too. */
static bool skip_lost(struct joining *joining)
{
    const uint64_t oldest = ring_oldest(joining->reader->options.ring);
    const uint64_t last = oldest - 1 < joining->end ? oldest - 1 : joining->end;
    char have[RING_ID_SIZE];

    ring_format_id(joining->reader->options.ring, joining->have, have);
    if (!tell_gap(joining, sse_str(have), last + 1, last))
        return false;
    joining->have = last;
    return true;
}

static bool send_next(struct joining *joining)
{
    struct ring *ring = joining->reader->options.ring;
    struct ring_entry *entry = joining->entry;
    char id[RING_ID_SIZE];

    if (ring_read(ring, joining->have + 1, entry) < 0)
        return skip_lost(joining);
    entry->event.id = sse_str(ring_format_id(ring, joining->have + 1, id));
    if (is_wanted(joining->options, entry->topic) && sse_emitter_send(joining->emitter, &entry->event))
        return false;
    joining->have++;
    return true;
}

static bool send_missed(struct joining *joining)
{
    while (joining->have < joining->end) {
        if (!has_room(joining->emitter) || !send_next(joining))
            return false;
    }
    return true;
}

/* The client continues from this id, even if all later events belong to other topics. */
static bool send_place(struct joining *joining, struct sse_text type)
{
    char id[RING_ID_SIZE];
    struct sse_event event = {.id = sse_str(ring_format_id(joining->reader->options.ring, joining->end, id))};

    if (type.len) {
        event.type = type;
        event.data = sse_str("");
    }
    return !sse_emitter_send(joining->emitter, &event);
}

static bool begin(struct joining *joining)
{
    const struct sse_text asked = joining->options->last_event_id;

    if (!asked.len)
        return send_place(joining, joining->reader->options.ready_type);
    if (!ring_parse_id(joining->reader->options.ring, asked, &joining->have) || joining->have > joining->end)
        return tell_gap(joining, asked, 0, joining->end);
    return send_missed(joining) && send_place(joining, sse_str(NULL));
}

/* Spreads the reconnects of clients. Do not use these numbers for secrets. */
static int64_t short_retry(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return RETRY_MIN_MS + now.tv_nsec / 1000 % (RETRY_MAX_MS - RETRY_MIN_MS);
}

/* Drops the events that are queued behind the pause. The client reconnects with the id that it has. */
static void send_away(struct sse_emitter *emitter)
{
    (void)sse_emitter_send(emitter, &(struct sse_event){.retry_ms = short_retry()});
    (void)sse_emitter_complete(emitter);
}

static int join(struct joining *joining, struct sse_emitter **emitter)
{
    struct ring_reader *reader = joining->reader;
    struct sse_emitter_options options = *joining->options;
    int error;

    options.registry = reader->options.registry;
    options.paused = true;
    options.last_event_id = sse_str(NULL);
    pthread_mutex_lock(&reader->lock);
    error = catch_up(reader);
    if (!error)
        error = sse_emitter_new(emitter, &options, NULL);
    joining->end = reader->read;
    pthread_mutex_unlock(&reader->lock);
    return error;
}

int ring_reader_stream(struct ring_reader *reader, struct sse_emitter **emitter,
                       const struct sse_emitter_options *options)
{
    struct joining joining = {.reader = reader, .options = options};
    struct sse_emitter *made;
    int error;

    joining.entry = options->last_event_id.len ? ring_entry_new(reader->options.ring) : NULL;
    if (options->last_event_id.len && !joining.entry)
        return -ENOMEM;
    error = join(&joining, emitter ? emitter : &made);
    if (!error) {
        joining.emitter = emitter ? *emitter : made;
        if (!begin(&joining) || sse_emitter_start(joining.emitter, false))
            send_away(joining.emitter);
        if (!emitter)
            sse_emitter_unref(joining.emitter);
    }
    free(joining.entry);
    return error;
}

/* -- opening and closing ------------------------------------------------------------------------ */

int ring_reader_open(struct ring_reader **reader, const struct ring_reader_options *options)
{
    struct ring_reader *made = calloc(1, sizeof(*made));
    struct ring_entry *entry = ring_entry_new(options->ring);
    int place = made && entry ? ring_attach(options->ring) : -ENOMEM;

    if (place < 0) {
        free(entry);
        free(made);
        return place;
    }
    *made = (struct ring_reader){.options = *options, .place = place, .entry = entry};
    if (!made->options.gap_type.len)
        made->options.gap_type = sse_str("gap");
    pthread_mutex_init(&made->lock, NULL);
    made->read = ring_newest(options->ring);
    (void)ring_sleep(options->ring, place, made->read);
    *reader = made;
    return 0;
}

int ring_reader_fd(const struct ring_reader *reader)
{
    return ring_fd(reader->options.ring, reader->place);
}

void ring_reader_close(struct ring_reader *reader)
{
    if (!reader)
        return;
    ring_detach(reader->options.ring, reader->place);
    pthread_mutex_destroy(&reader->lock);
    free(reader->entry);
    free(reader);
}

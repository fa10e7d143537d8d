/* SPDX-License-Identifier: MIT */
#include "data/message.h"
#include "base/platform.h"
#include "wire/event.h"

#include <errno.h>
#include <limits.h>

static const unsigned char heartbeat_block[] = "2\r\n:\n\r\n";
static const unsigned char last_chunk_block[] = "0\r\n\r\n";

static const struct sse_message heartbeat = {
    .frame = heartbeat_block + 3,
    .frame_size = 2,
    .chunk_head_size = 3,
    .chunk_tail_size = 2,
    .borrowed = true,
};

static const struct sse_message last_chunk = {
    .frame = last_chunk_block,
    .frame_size = 5,
    .borrowed = true,
};

/* Nothing changes a borrowed message, so a queue may have one that is const. */
static struct sse_message *as_shared(const struct sse_message *message)
{
    return (struct sse_message *)(uintptr_t)message;
}

struct sse_message *sse_message_heartbeat(void)
{
    return as_shared(&heartbeat);
}

struct sse_message *sse_message_last_chunk(void)
{
    return as_shared(&last_chunk);
}

/* Writes the chunk head before the frame, and the tail behind it. */
static void frame_chunk(struct sse_message *message, unsigned char *frame)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char *at = frame;

    *--at = '\n';
    *--at = '\r';
    for (size_t size = message->frame_size; size; size >>= 4)
        *--at = (unsigned char)digits[size & 0xf];
    message->chunk_head_size = (unsigned char)(frame - at);
    message->chunk_tail_size = MESSAGE_CHUNK_TAIL;
    memcpy(frame + message->frame_size, "\r\n", MESSAGE_CHUNK_TAIL);
}

static struct sse_message *allocate_message(size_t frame_size, struct sse_text key,
                                            const struct sse_platform *platform, unsigned char **frame)
{
    size_t size = sizeof(struct sse_message) + MESSAGE_CHUNK_HEAD_MAX + frame_size + MESSAGE_CHUNK_TAIL;
    struct sse_message *message = sse_platform_allocate(platform, size + key.len);

    if (!message)
        return NULL;
    *message = (struct sse_message){.platform = platform, .frame_size = frame_size};
    atomic_init(&message->refs, 1);
    *frame = (unsigned char *)(message + 1) + MESSAGE_CHUNK_HEAD_MAX;
    message->frame = *frame;
    if (key.ptr) {
        message->key = (struct sse_text){.ptr = (char *)message + size, .len = key.len};
        memcpy((char *)message + size, key.ptr, key.len);
    }
    return message;
}

/* The size of all events together. *layout becomes that of the last event. */
static ssize_t measure_events(const struct sse_event *events, size_t count, struct event_layout *layout)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        int error = sse_event_measure(&events[i], layout);

        if (error)
            return error;
        if (events[i].key.ptr && count > 1)
            return -EINVAL;
        total += layout->size;
        if (total > SSE_EVENT_SIZE_MAX)
            return -EMSGSIZE;
    }
    return (ssize_t)total;
}

static void note_id(struct sse_message *message, const struct sse_event *event, size_t id_line)
{
    if (event->id.ptr) {
        message->has_id = true;
        message->id_offset = id_line + strlen("id: ");
        message->id_size = event->id.len;
    } else if (event->data.ptr) {
        message->id_slot = id_line;
    }
}

int sse_message_new(struct sse_message **message, const struct sse_event *events, size_t count,
                    const struct sse_platform *platform)
{
    struct event_layout layout;
    struct sse_message *made;
    unsigned char *frame;
    ssize_t total;
    size_t at = 0;

    if (!message || !events || !count || count > UINT_MAX || !sse_platform_is_valid(platform))
        return -EINVAL;
    total = measure_events(events, count, &layout);
    if (total < 0)
        return (int)total;
    made = allocate_message((size_t)total, events[0].key, platform, &frame);
    if (!made)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        /* The layout of a single event is known. Keeping those of a batch would need memory. */
        if (count > 1)
            (void)sse_event_measure(&events[i], &layout);
        sse_event_write(&events[i], &layout, frame + at);
        note_id(made, &events[i], at + layout.id_line);
        at += layout.size;
    }
    made->events = (unsigned)count;
    frame_chunk(made, frame);
    *message = made;
    return 0;
}

#define SMALL_FRAME_MAX                                                                                      \
    (sizeof(((struct small_message *)NULL)->block) - MESSAGE_CHUNK_HEAD_MAX - MESSAGE_CHUNK_TAIL)

bool sse_small_message_fits(ssize_t size)
{
    return size >= 0 && (size_t)size <= SMALL_FRAME_MAX;
}

ssize_t sse_small_message_init(struct small_message *small, const struct sse_event *event)
{
    unsigned char *frame = small->block + MESSAGE_CHUNK_HEAD_MAX;
    struct event_layout layout;
    int error = event ? sse_event_measure(event, &layout) : -EINVAL;

    if (error)
        return error;
    if (!sse_small_message_fits((ssize_t)layout.size))
        return (ssize_t)layout.size;
    small->message = (struct sse_message){
        .frame = frame,
        .frame_size = layout.size,
        .events = 1,
        .key = event->key,
        .borrowed = true,
    };
    sse_event_write(event, &layout, frame);
    note_id(&small->message, event, layout.id_line);
    frame_chunk(&small->message, frame);
    return (ssize_t)layout.size;
}

struct sse_message *sse_message_copy(const struct sse_message *message, const struct sse_platform *platform)
{
    unsigned char *frame;
    struct sse_message *copy = allocate_message(message->frame_size, message->key, platform, &frame);

    if (!copy)
        return NULL;
    memcpy(frame, message->frame, message->frame_size);
    copy->has_id = message->has_id;
    copy->id_offset = message->id_offset;
    copy->id_size = message->id_size;
    copy->id_slot = message->id_slot;
    copy->events = message->events;
    if (message->chunk_head_size)
        frame_chunk(copy, frame);
    return copy;
}

bool sse_message_is_dispatched(const struct sse_message *message)
{
    return message->has_id || message->id_slot;
}

int sse_message_copy_with_id(struct sse_message **made, const struct sse_message *message, size_t size,
                             const struct sse_platform *platform)
{
    size_t slot = message->id_slot;
    size_t line_size = strlen("id: ") + size + 1;
    struct sse_message *copy;
    unsigned char *frame;

    if (message->frame_size + line_size > SSE_EVENT_SIZE_MAX)
        return -EMSGSIZE;
    copy = allocate_message(message->frame_size + line_size, message->key, platform, &frame);
    if (!copy)
        return -ENOMEM;
    copy->has_id = true;
    copy->id_offset = slot + strlen("id: ");
    copy->id_size = size;
    memcpy(frame, message->frame, slot);
    memcpy(frame + slot, "id: ", strlen("id: "));
    memset(frame + copy->id_offset, '0', size);
    frame[copy->id_offset + size] = '\n';
    memcpy(frame + slot + line_size, message->frame + slot, message->frame_size - slot);
    copy->events = message->events;
    frame_chunk(copy, frame);
    *made = copy;
    return 0;
}

void sse_message_patch_id(struct sse_message *message, const char *id)
{
    memcpy((unsigned char *)(uintptr_t)message->frame + message->id_offset, id, message->id_size);
}

struct sse_message *sse_message_new_retry(int64_t retry_ms, const struct sse_platform *platform)
{
    const struct sse_event event = {.retry_ms = retry_ms};
    ssize_t size = sse_event_encode(&event, NULL, 0);
    struct sse_message *message;
    unsigned char *frame;

    message = allocate_message((size_t)size + 1, (struct sse_text){.ptr = NULL}, platform, &frame);
    if (!message)
        return NULL;
    (void)sse_event_encode(&event, frame, (size_t)size);
    frame[size] = '\n';
    frame_chunk(message, frame);
    return message;
}

int sse_message_new_head(struct sse_message **message, const struct sse_http_options *http,
                         const struct sse_platform *platform)
{
    ssize_t size = sse_http_head(NULL, 0, http);
    unsigned char *frame;

    if (size < 0)
        return (int)size;
    if ((size_t)size > SSE_EVENT_SIZE_MAX)
        return -EMSGSIZE;
    *message = allocate_message((size_t)size, (struct sse_text){.ptr = NULL}, platform, &frame);
    if (!*message)
        return -ENOMEM;
    (void)sse_http_head(frame, (size_t)size, http);
    return 0;
}

struct sse_message *sse_message_ref(struct sse_message *message)
{
    if (message)
        sse_message_keep(message);
    return message;
}

void sse_message_unref(struct sse_message *message)
{
    if (message)
        sse_message_release(message);
}

struct sse_text sse_message_bytes(const struct sse_message *message)
{
    return message ? sse_message_wire(message, false) : (struct sse_text){.ptr = NULL};
}

struct sse_text sse_message_id(const struct sse_message *message)
{
    if (!message->has_id)
        return (struct sse_text){.ptr = NULL};
    return (struct sse_text){.ptr = (const char *)message->frame + message->id_offset,
                             .len = message->id_size};
}

static const char id_name[] = "id: ";

#define ID_NAME_SIZE (sizeof(id_name) - 1)

static bool is_id_line(const char *line, size_t length)
{
    return length >= ID_NAME_SIZE && !memcmp(line, id_name, ID_NAME_SIZE);
}

unsigned sse_message_events_within(const struct sse_message *message, size_t size, struct sse_text *id)
{
    const char *line = (const char *)message->frame, *end = line + size, *line_end;
    struct sse_text found = *id;
    unsigned events = 0;

    for (; (line_end = memchr(line, '\n', (size_t)(end - line))); line = line_end + 1) {
        size_t length = (size_t)(line_end - line);

        if (is_id_line(line, length))
            found = (struct sse_text){.ptr = line + ID_NAME_SIZE, .len = length - ID_NAME_SIZE};
        if (!length) {
            events++;
            *id = found;
        }
    }
    return events;
}

/* Searches from the end of `id`, which is the end of its line. */
struct sse_text sse_message_id_after(const struct sse_message *message, struct sse_text id)
{
    const char *line = (const char *)message->frame, *end = line + message->frame_size, *line_end;

    if (id.ptr)
        line = id.ptr + id.len + 1;
    for (; (line_end = memchr(line, '\n', (size_t)(end - line))); line = line_end + 1) {
        size_t length = (size_t)(line_end - line);

        if (is_id_line(line, length))
            return (struct sse_text){.ptr = line + ID_NAME_SIZE, .len = length - ID_NAME_SIZE};
    }
    return (struct sse_text){.ptr = NULL};
}

bool sse_message_ends_with_id(const struct sse_message *message)
{
    return message->has_id && message->id_offset > message->id_slot;
}

/* SPDX-License-Identifier: MIT */
#ifndef DATA_MESSAGE_H
#define DATA_MESSAGE_H

/**
 * The members of a message. The frame is the bytes of its events. The chunk head, the frame and CR LF are side by
 * side in one block. A chunked emitter writes all of it, a raw one writes the frame:
 *
 *     "1a\r\n" | data: ...\n\n | "\r\n"
 *              ^ frame
 */

#include "base/platform.h"

#include <sse/http.h>
#include <sse/message.h>
#include <stdatomic.h>
#include <stdbool.h>

/* SSE_EVENT_SIZE_MAX has seven hexadecimal digits. */
#define MESSAGE_CHUNK_HEAD_MAX 9
#define MESSAGE_CHUNK_TAIL 2

/* Every delivery reads the first members. The count of references is at the end, because the loops of several cores
 * write it. */
struct sse_message {
    const unsigned char *frame;
    size_t frame_size;
    _Atomic uint64_t published; /* when it was last published; 0: never */
    unsigned events;
    unsigned char chunk_head_size;
    unsigned char chunk_tail_size;
    bool has_id;
    bool borrowed;    /* it is static or on a stack, so references are not counted */
    size_t id_offset; /* of the last id, within the frame */
    size_t id_size;
    size_t id_slot;      /* where an id would be inserted into the last event with data and no id; 0: none */
    struct sse_text key; /* its bytes are behind the block */
    const struct sse_platform *platform;
    atomic_uint refs;
};

/** A message with its block on the stack, for a small event that may be written at once. */
struct small_message {
    struct sse_message message;
    unsigned char block[512];
};

/** Returns the size, or a negative errno. It makes the message only if the frame fits into the block. */
ssize_t sse_small_message_init(struct small_message *small, const struct sse_event *event);

/** Whether a size that sse_small_message_init returned fits into the block. */
bool sse_small_message_fits(ssize_t size);

/** A copy on the heap, or NULL if there is no memory. */
struct sse_message *sse_message_copy(const struct sse_message *message, const struct sse_platform *platform);

/** A copy with an id of `size` bytes in the last event that has data. Set the bytes of the id with
 *  sse_message_patch_id. The message must be dispatched, and must not end with an id. 0, -ENOMEM, or -EMSGSIZE if
 *  the copy would be larger than SSE_EVENT_SIZE_MAX. */
int sse_message_copy_with_id(struct sse_message **made, const struct sse_message *message, size_t size,
                             const struct sse_platform *platform);

/** Overwrites the id with one of the same size. No other thread may have the message yet. */
void sse_message_patch_id(struct sse_message *message, const char *id);

/** Whether clients dispatch an event of the message, or store an id of it. */
bool sse_message_is_dispatched(const struct sse_message *message);

/** A retry with a blank line behind it, because some clients apply it only then. NULL if there is no memory. */
struct sse_message *sse_message_new_retry(int64_t retry_ms, const struct sse_platform *platform);

/** A response head, which never has chunk framing. 0, -EMSGSIZE if it is larger than SSE_EVENT_SIZE_MAX, -ENOMEM,
 *  or an error of sse_http_head. */
int sse_message_new_head(struct sse_message **message, const struct sse_http_options *http,
                         const struct sse_platform *platform);

/** The comment that keeps a connection alive. */
struct sse_message *sse_message_heartbeat(void);

/** The last chunk of a chunked stream. It has no framing itself. */
struct sse_message *sse_message_last_chunk(void);

/** sse_message_ref and unref for a message that is not NULL, and for several references at once. Inline, because
 *  every event needs them. */
static inline void sse_message_keep_many(struct sse_message *message, unsigned count)
{
    if (!message->borrowed)
        atomic_fetch_add_explicit(&message->refs, count, memory_order_relaxed);
}

static inline void sse_message_release_many(struct sse_message *message, unsigned count)
{
    if (!message->borrowed && atomic_fetch_sub_explicit(&message->refs, count, memory_order_acq_rel) == count)
        sse_platform_deallocate(message->platform, message);
}

static inline void sse_message_keep(struct sse_message *message)
{
    sse_message_keep_many(message, 1);
}

static inline void sse_message_release(struct sse_message *message)
{
    sse_message_release_many(message, 1);
}

/** How many bytes of the message a stream with this framing writes. */
static inline size_t sse_message_wire_size(const struct sse_message *message, bool chunked)
{
    if (!chunked)
        return message->frame_size;
    return message->chunk_head_size + message->frame_size + message->chunk_tail_size;
}

/** The bytes of the message that a stream with this framing writes. */
static inline struct sse_text sse_message_wire(const struct sse_message *message, bool chunked)
{
    return (struct sse_text){
        .ptr = (const char *)message->frame - (chunked ? message->chunk_head_size : 0),
        .len = sse_message_wire_size(message, chunked),
    };
}

/** The last id in the message; absent if there is none. */
struct sse_text sse_message_id(const struct sse_message *message);

/** The id that follows `id`, which is one of its ids; the first id if `id` is absent. Absent if there is none. */
struct sse_text sse_message_id_after(const struct sse_message *message, struct sse_text id);

/** How many events are whole within the first `size` bytes of the frame. *id becomes the last id of these events;
 *  it does not change if they have none. */
unsigned sse_message_events_within(const struct sse_message *message, size_t size, struct sse_text *id);

/** Whether no event with data follows its last id: a client with that id has received all of the message. */
bool sse_message_ends_with_id(const struct sse_message *message);

#endif

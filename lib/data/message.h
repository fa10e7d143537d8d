/* SPDX-License-Identifier: MIT */
#ifndef DATA_MESSAGE_H
#define DATA_MESSAGE_H

/**
 * The inside of a message. Chunk head, frame and CR LF lie side by side in one block, so that a
 * chunked emitter sends all of it and a raw one the middle:
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

struct sse_message {
    const struct sse_platform *platform;
    const unsigned char *frame;
    size_t frame_size;
    size_t id_offset; /* of the last id, within the frame */
    size_t id_size;
    size_t id_slot;      /* where the id of the last event with data belongs that has none; 0: no such */
    struct sse_text key; /* behind the block */
    _Atomic uint64_t published; /* when it was last published; 0: never */
    atomic_uint refs;
    unsigned events;
    unsigned char chunk_head_size;
    unsigned char chunk_tail_size;
    bool has_id;
    bool borrowed; /* static or on a stack: references are not counted */
};

/** A message with its block on the stack, for a small event that may leave at once. */
struct small_message {
    struct sse_message message;
    unsigned char block[512];
};

/** The size, or a negative errno; made only if the frame fits into the block. */
ssize_t sse_small_message_init(struct small_message *small, const struct sse_event *event);

/** Whether that size was small enough. */
bool sse_small_message_fits(ssize_t size);

/** A copy of its own on the heap, or NULL. */
struct sse_message *sse_message_copy(const struct sse_message *message, const struct sse_platform *platform);

/** The same events with an id of `size` bytes in the last that has data; its bytes are for
 *  message_patch_id. For one that is dispatched and does not end with an id. NULL without memory. */
struct sse_message *sse_message_copy_with_id(const struct sse_message *message, size_t size,
                                             const struct sse_platform *platform);

/** Overwrites the id, with as many bytes as it has, before anybody else has seen the message. */
void sse_message_patch_id(struct sse_message *message, const char *id);

/** Whether clients dispatch an event of it, or take an id from it. */
bool sse_message_is_dispatched(const struct sse_message *message);

/** A retry with a blank line behind it, because some clients apply it only there. NULL without
 *  memory. */
struct sse_message *sse_message_new_retry(int64_t retry_ms, const struct sse_platform *platform);

/** A response head, which is never chunk framed. -EMSGSIZE over SSE_EVENT_SIZE_MAX, -ENOMEM, or an error of
 *  sse_http_head. */
int sse_message_new_head(struct sse_message **message, const struct sse_http_options *http,
                         const struct sse_platform *platform);

/** The comment that keeps a connection alive. */
struct sse_message *sse_message_heartbeat(void);

/** The last chunk of a chunked stream. Never framed itself. */
struct sse_message *sse_message_last_chunk(void);

/** sse_message_ref and unref for one that is there, where every event passes. */
static inline void sse_message_keep(struct sse_message *message)
{
    if (!message->borrowed)
        atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
}

static inline void sse_message_release(struct sse_message *message)
{
    if (!message->borrowed && atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) == 1)
        sse_platform_deallocate(message->platform, message);
}

/** How many bytes a stream of this framing sends. */
static inline size_t sse_message_wire_size(const struct sse_message *message, bool chunked)
{
    if (!chunked)
        return message->frame_size;
    return message->chunk_head_size + message->frame_size + message->chunk_tail_size;
}

/** The bytes that a stream of this framing sends. */
static inline struct sse_text sse_message_wire(const struct sse_message *message, bool chunked)
{
    return (struct sse_text){
        .ptr = (const char *)message->frame - (chunked ? message->chunk_head_size : 0),
        .len = sse_message_wire_size(message, chunked),
    };
}

/** The last id in it, or absent. */
struct sse_text sse_message_id(const struct sse_message *message);

/** The next id behind one of its ids, or the first behind an absent one; absent if there is none. */
struct sse_text sse_message_id_after(const struct sse_message *message, struct sse_text id);

/** How many events lie whole within the first `size` bytes of the frame. *id becomes the last id
 *  among them, and stays as it is if there is none. */
unsigned sse_message_events_within(const struct sse_message *message, size_t size, struct sse_text *id);

/** Whether no event with data follows its last id: who has that id has seen all of it. */
bool sse_message_ends_with_id(const struct sse_message *message);

#endif

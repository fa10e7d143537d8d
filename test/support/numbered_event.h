/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_NUMBERED_EVENT_H
#define SUPPORT_NUMBERED_EVENT_H

/**
 * Events that say who published them, as which of its events, through which registry and to whom;
 * the rest of their bytes follows from that. So a recorded stream can be taken apart strictly, and
 * the order of several be compared. One thread at a time; what is not as it must be aborts.
 */

#include <sse/event.h>

#define NUMBERED_PUBLISHERS_MAX 16
#define NUMBERED_SEQUENCE_MAX 4096
#define NUMBERED_DATA_MAX 1024

/** Targets are topics, or one of these. */
#define NUMBERED_TO_ALL 100
#define NUMBERED_TO_ONE 101

struct numbered_key {
    unsigned publisher;
    unsigned sequence; /* grows with each event of the publisher */
    unsigned registry;
    unsigned target;
};

struct numbered_event {
    char id[32];
    char data[NUMBERED_DATA_MAX];
};

/** Fills an event; its text lives in `text`. */
struct sse_event numbered_event(const struct numbered_key *key, struct numbered_event *text);

/** The reconnection time behind the head that a stream may begin with. */
#define NUMBERED_RETRY_MS 3000
#define NUMBERED_LAST_RETRY_MS 4321 /* of a shutdown */

/** Recorded bytes, followed by a NUL once there are any. Start from all zero. */
struct numbered_stream {
    char *bytes;
    size_t size;
    size_t capacity;
};

void numbered_stream_append(struct numbered_stream *stream, const void *bytes, size_t size);
void numbered_stream_free(struct numbered_stream *stream);

/** What a stream holds. */
struct numbered_list {
    struct numbered_key *keys; /* of the whole events */
    size_t count;
    bool whole;      /* nothing is left over behind the last whole event */
    bool last_chunk; /* and it ends with a last chunk */
};

/** What is known of a stream before it is taken apart. */
struct numbered_form {
    bool has_head; /* it begins with the head that sse_http_head writes, and a reconnection time */
    bool chunked;
    bool paused; /* what was sent to it alone may have overtaken what was published */
};

/** Takes a stream apart; the events of each publisher must be in order. */
void numbered_list_init(struct numbered_list *list, const struct numbered_stream *stream,
                        const struct numbered_form *form);
void numbered_list_free(struct numbered_list *list);

/** Whether one order exists in which the events published through a registry appear in all lists. */
bool numbered_lists_agree(const struct numbered_list *lists, size_t count, unsigned registry);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_NUMBERED_EVENT_H
#define SUPPORT_NUMBERED_EVENT_H

/**
 * Events that contain their publisher, their number, their registry and their target. All other bytes follow from
 * these. So a test can parse a recorded stream strictly, and compare the order of several streams. Only one thread
 * at a time may use it. It aborts on any error.
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
    unsigned sequence; /* increases with each event of the publisher */
    unsigned registry;
    unsigned target;
};

struct numbered_event {
    char id[32];
    char data[NUMBERED_DATA_MAX];
};

/** Fills in an event. Its text is in `text`. */
struct sse_event numbered_event(const struct numbered_key *key, struct numbered_event *text);

/** The reconnection time that may follow the head at the beginning of a stream. */
#define NUMBERED_RETRY_MS 3000
#define NUMBERED_LAST_RETRY_MS 4321 /* the reconnection time of a shutdown */

/** Recorded bytes. After the first one, a NUL follows them. Start with all members zero. */
struct numbered_stream {
    char *bytes;
    size_t size;
    size_t capacity;
};

void numbered_stream_append(struct numbered_stream *stream, const void *bytes, size_t size);
void numbered_stream_free(struct numbered_stream *stream);

/** The content of a stream. */
struct numbered_list {
    struct numbered_key *keys; /* of the complete events */
    size_t count;
    bool whole;      /* no bytes are left after the last complete event */
    bool last_chunk; /* the stream ends with a last chunk */
};

/** What is known about a stream before it is parsed. */
struct numbered_form {
    bool has_head; /* it begins with the head of sse_http_head, and a reconnection time */
    bool chunked;
    bool paused; /* events that were sent to this emitter may be ahead of published ones */
};

/** Parses a stream. The events of each publisher must be in order. */
void numbered_list_init(struct numbered_list *list, const struct numbered_stream *stream,
                        const struct numbered_form *form);
void numbered_list_free(struct numbered_list *list);

/** Whether the events published through a registry have one order that all lists agree with. */
bool numbered_lists_agree(const struct numbered_list *lists, size_t count, unsigned registry);

#endif

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

/** The head that a stream may begin with, and the reconnection time after it. */
#define NUMBERED_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
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

/** Takes a stream apart; each publisher's events must be in order. */
void numbered_list_init(struct numbered_list *list, const struct numbered_stream *stream, bool has_head,
                        bool chunked);
void numbered_list_free(struct numbered_list *list);

bool numbered_list_has(const struct numbered_list *list, unsigned publisher, unsigned sequence);

/** Whether one order exists in which the events published through a registry appear in all lists. */
bool numbered_lists_agree(const struct numbered_list *lists, size_t count, unsigned registry);

#endif

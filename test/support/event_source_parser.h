/* SPDX-License-Identifier: MIT */
#ifndef TEST_EVENT_SOURCE_PARSER_H
#define TEST_EVENT_SOURCE_PARSER_H

/*
 * A client's parser of text/event-stream, written only from WHATWG HTML 9.2.5 and 9.2.6, so that it can check the
 * encoder. A failed allocation aborts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer that grows. After the first append, a NUL follows the bytes. Start with all members zero. */
struct event_source_text {
    char *bytes;
    size_t length;
    size_t capacity;
};

void event_source_text_append(struct event_source_text *text, const void *bytes, size_t length);

/* Appends the bytes between quotes, escaped as in the vectors file: \n \r \t \" \\ and three octal digits for
 * everything else that is not printable ASCII. */
void event_source_text_append_quoted(struct event_source_text *text, const void *bytes, size_t length);

void event_source_text_clear(struct event_source_text *text);
void event_source_text_free(struct event_source_text *text);

/* A dispatched event, valid only during the callback. Every text is UTF-8 and may contain NUL. A NUL that is not
 * counted follows it. */
struct event_source_event {
    const char *type;
    size_t type_length;
    const char *data;
    size_t data_length;
    const char *last_event_id;
    size_t last_event_id_length;
};

typedef void event_source_callback(const struct event_source_event *event, void *user_data);

struct event_source_parser;

/* `callback` may be NULL. */
struct event_source_parser *event_source_parser_new(event_source_callback *callback, void *user_data);
void event_source_parser_free(struct event_source_parser *parser);

/* Resets the parser, and keeps its memory for the next stream. */
void event_source_parser_reset(struct event_source_parser *parser);

/* Parses the next bytes of the stream, of any length. The end of the stream needs no call: an incomplete event is
 * discarded. */
void event_source_parser_feed(struct event_source_parser *parser, const void *bytes, size_t length);

/* Returns the id that a reconnecting client would send. `length` may be NULL. */
const char *event_source_parser_last_event_id(const struct event_source_parser *parser, size_t *length);

/* Returns milliseconds, or -1 if the stream never set them. The value saturates at INT64_MAX. */
int64_t event_source_parser_reconnection_time(const struct event_source_parser *parser);

/* A parser that records everything, so that a test can compare it as one text. */
struct event_source_recorder;

struct event_source_recorder *event_source_recorder_new(void);
void event_source_recorder_free(struct event_source_recorder *recorder);
void event_source_recorder_reset(struct event_source_recorder *recorder);
void event_source_recorder_feed(struct event_source_recorder *recorder, const void *bytes, size_t length);

/* Whether both recorders have the same events, last event id and reconnection time. */
bool event_source_recorder_equal(const struct event_source_recorder *one,
                                 const struct event_source_recorder *other);

/*
 * Returns everything so far, in the notation of the expected_client_dispatch column:
 *
 *     {type="message",data="hello",id=""} last="" retry=2
 *
 * or `none last="42"` when nothing was dispatched. Valid until the next call on the recorder.
 */
const char *event_source_recorder_text(struct event_source_recorder *recorder);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

/*
 * Reads the conformance vectors: tab-separated rows of name, input_event, expected_wire, expected_client_dispatch
 * and source. A failed allocation aborts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* If present, `bytes` is never NULL. A NUL that is not counted follows it. */
struct vector_text {
    const char *bytes;
    size_t length;
    bool present;
};

struct vector_event {
    struct vector_text type; /* the field `event` */
    struct vector_text data;
    struct vector_text id;
    struct vector_text comment;
    bool has_retry;
    int64_t retry; /* a number beyond the range of the type is the nearest value in it */
};

enum vector_kind {
    VECTOR_ENCODE, /* events that must give exactly this wire, and the wire this dispatch */
    VECTOR_REJECT, /* events that must be refused with `expected_error` */
    VECTOR_STREAM, /* a wire without events, as another server may send it */
    VECTOR_OTHER,  /* a text about HTTP; `dispatch` is as in the file */
    /* `problem` gives the reason. Only line, name and source are reliable. A test must fail on such a row, not skip
     * it. */
    VECTOR_UNREADABLE,
};

struct vector {
    enum vector_kind kind;
    size_t line; /* in the file, from 1 */
    char *name;
    char *input;         /* as in the file */
    char *source;        /* as in the file; empty if the row ends before it */
    const char *problem; /* static; NULL unless unreadable */
    struct vector_event *events;
    size_t event_count;
    struct vector_text wire;
    size_t *boundaries; /* offsets into the wire at which a new write begins, ascending */
    size_t boundary_count;
    char *dispatch;     /* REPEAT is expanded, escapes are as in event_source_recorder_text */
    int expected_error; /* EINVAL and so on; 0 if none */
};

/*
 * Reads all rows of a file, without the header, empty lines, and lines that begin with `#`. Returns 0, or a
 * negative errno with the outputs untouched. A row with an error is returned as VECTOR_UNREADABLE. Free the rows
 * with vectors_free.
 */
int vectors_load(const char *path, struct vector **vectors, size_t *count);

/* Reads from memory. */
void vectors_parse(const char *text, size_t length, struct vector **vectors, size_t *count);

void vectors_free(struct vector *vectors, size_t count);

#endif

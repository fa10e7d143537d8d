/* SPDX-License-Identifier: MIT */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

/*
 * Reader of the conformance vectors: tab-separated rows of name, input_event, expected_wire,
 * expected_client_dispatch and source. Test support: a failed allocation aborts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `bytes` is never NULL if present, and is followed by a NUL that is not counted. */
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
    int64_t retry; /* beyond the range of the type, the nearest value in it */
};

enum vector_kind {
    VECTOR_ENCODE, /* events that must give exactly the wire, and that the dispatch */
    VECTOR_REJECT, /* events that must be refused with `expected_error` */
    VECTOR_STREAM, /* a wire without events, as another server may send it */
    VECTOR_OTHER,  /* prose about HTTP; `dispatch` is as in the file */
    /* `problem` says why, and only line, name and source can be relied on. A test must fail on such
     * a row, not skip it. */
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
    char *dispatch;     /* REPEAT expanded, escapes as event_source_recorder_text spells them */
    int expected_error; /* EINVAL and the like, 0 if none */
};

/*
 * Reads all rows of a file; the header, empty lines and lines that begin with `#` are no rows.
 * Returns 0, or a negative errno value with the outputs untouched. A row that cannot be understood
 * is returned as VECTOR_UNREADABLE. To be released with vectors_free.
 */
int vectors_load(const char *path, struct vector **vectors, size_t *count);

/* The same from memory. */
void vectors_parse(const char *text, size_t length, struct vector **vectors, size_t *count);

void vectors_free(struct vector *vectors, size_t count);

#endif

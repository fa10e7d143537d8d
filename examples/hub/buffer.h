/* SPDX-License-Identifier: MIT */
#ifndef HUB_BUFFER_H
#define HUB_BUFFER_H

/** A buffer that grows. All members zero is an empty buffer. */

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *bytes;
    size_t length;
    size_t capacity;
    /** An allocation failed. Nothing is appended after that, so you can check once at the end. */
    bool failed;
};

#if defined(__GNUC__)
#define BUFFER_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define BUFFER_PRINTF
#endif

void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *format, ...) BUFFER_PRINTF;

/** Frees the memory; the buffer is empty again. */
void buffer_release(struct buffer *buffer);

#endif

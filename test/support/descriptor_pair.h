/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_DESCRIPTOR_PAIR_H
#define SUPPORT_DESCRIPTOR_PAIR_H

/** Two connected descriptors: the server's end, and the client's end, which never blocks. */

#include <stdbool.h>
#include <stddef.h>

enum pair_kind {
    PAIR_STREAM,  /* a Unix socket */
    PAIR_PACKETS, /* a socket that keeps the boundaries of the system calls that wrote to it */
    PAIR_PIPE,
    PAIR_TCP,
    PAIR_KINDS
};

struct descriptor_pair {
    int server; /* may block; the library may close it */
    int client; /* -1 once it is closed */
};

void pair_open(struct descriptor_pair *pair, enum pair_kind kind);

/** Closes the client's end, if it is open. */
void pair_leave(struct descriptor_pair *pair);
/** Closes the client's end with a reset instead of an orderly end. TCP. */
void pair_reset(struct descriptor_pair *pair);
/** Closes both ends that are open. */
void pair_close(struct descriptor_pair *pair);

/** Reads once from the client's end. Returns 0 if there is nothing now, or the stream has ended. */
size_t pair_receive(struct descriptor_pair *pair, void *buffer, size_t size);
/** Waits for this text and reads it. Aborts if anything else arrives. */
void pair_expect(struct descriptor_pair *pair, const char *text);
/** Reads and discards what is there now. Returns the number of bytes. */
size_t pair_discard(struct descriptor_pair *pair);
/** Whether there is nothing to read now, not even the end of the stream. */
bool pair_is_quiet(const struct descriptor_pair *pair);
/** Whether the stream has ended orderly, and everything was read. */
bool pair_has_ended(const struct descriptor_pair *pair);

/** Whether poll(2) reports the descriptor as readable now. */
bool descriptor_is_readable(int fd);
bool descriptor_is_open(int fd);
/** Returns the number of open descriptors. */
size_t descriptor_count(void);

#endif

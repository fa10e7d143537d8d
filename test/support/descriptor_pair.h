/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_DESCRIPTOR_PAIR_H
#define SUPPORT_DESCRIPTOR_PAIR_H

/** Two descriptors that are connected: the server's end, and the client's, which never blocks. */

#include <stdbool.h>
#include <stddef.h>

enum pair_kind {
    PAIR_STREAM,  /* a Unix socket */
    PAIR_PACKETS, /* one that keeps the boundaries of the system calls that wrote to it */
    PAIR_PIPE,
    PAIR_TCP,
    PAIR_KINDS
};

struct descriptor_pair {
    int server; /* it blocks; the library may close it */
    int client; /* -1 once it is closed */
};

void pair_open(struct descriptor_pair *pair, enum pair_kind kind);

/** Closes the client's end, if it is open. */
void pair_leave(struct descriptor_pair *pair);
/** The same, with a reset in place of an orderly end. TCP. */
void pair_reset(struct descriptor_pair *pair);
/** Closes both ends that are open. */
void pair_close(struct descriptor_pair *pair);

/** One read of the client's. 0 if there is nothing at this moment, or the stream has ended. */
size_t pair_receive(struct descriptor_pair *pair, void *buffer, size_t size);
/** Reads exactly this text, waiting for it; aborts if something else comes. */
void pair_expect(struct descriptor_pair *pair, const char *text);
/** Reads and discards what is there now. Returns how much that was. */
size_t pair_discard(struct descriptor_pair *pair);
/** Whether there is nothing to read now, the end of the stream included. */
bool pair_is_quiet(const struct descriptor_pair *pair);
/** Whether the stream has ended in order, and everything was read. */
bool pair_has_ended(const struct descriptor_pair *pair);

/** Whether poll(2) says that the descriptor is readable now. */
bool descriptor_is_readable(int fd);
bool descriptor_is_open(int fd);
/** The number of descriptors that are open. */
size_t descriptor_count(void);

#endif

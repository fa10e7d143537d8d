/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CHANNEL_H
#define SUPPORT_CHANNEL_H

/**
 * A descriptor of some kind that the library writes to, and its other end. The library writes a fixed stream of
 * text, so that a missing or repeated byte is noticed anywhere.
 */

#include "output/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum channel_kind {
    CHANNEL_STREAM_SOCKET,
    CHANNEL_PACKET_SOCKET,
    CHANNEL_PIPE,
    CHANNEL_RAW_TERMINAL,
    CHANNEL_COOKED_TERMINAL, /* LF becomes CR LF */
    CHANNEL_UPPER_TERMINAL,  /* and lower case becomes upper case: OLCUC */
    CHANNEL_TERMINAL_MASTER,
    CHANNEL_REGULAR_FILE,
    CHANNEL_KIND_COUNT
};

struct channel {
    enum channel_kind kind;
    int ours;
    int peer;
    off_t read_offset; /* of a regular file */
    size_t sent;
    size_t received;

    /* The output, as an emitter stores it. */
    int output_kind; /* enum output_kind */
    struct output output;
    struct output_file file;
};

/** The most bytes that channel_write_next accepts. */
#define CHANNEL_WRITE_MAX 60000

void channel_open(struct channel *channel, enum channel_kind kind, bool nonblocking);
void channel_close(struct channel *channel);

/** Makes the output from the descriptor. Returns 0, or the result of sse_output_identify. */
int channel_identify(struct channel *channel);

/** Writes the next `size` bytes of the stream in up to four pieces, and checks the result. Returns a count that is
 *  neither 0 nor too large, or an error. */
ssize_t channel_write_next(struct channel *channel, size_t size);

/** Reads until everything that was written has arrived, and compares it. */
void channel_receive_all(struct channel *channel);

/** Whether the other end has nothing to read. */
bool channel_is_silent(const struct channel *channel);

/** Whether this is a socket. */
bool channel_is_socket(enum channel_kind kind);

/** Calls `check` with a channel of each kind, blocking and non-blocking, and checks that its flags do not
 *  change. */
void channel_for_each(void (*check)(struct channel *channel));

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HUB_OPTIONS_H
#define HUB_OPTIONS_H

/** The command line. */

#include <sse/base.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_HOST_SIZE 256
#define OPTIONS_PORT_SIZE 6

struct options {
    char host[OPTIONS_HOST_SIZE]; /**< an address or a name; IPv6 without its brackets */
    char port[OPTIONS_PORT_SIZE]; /**< digits */
    bool read_stdin;
    int64_t heartbeat_ms; /**< as in struct sse_emitter_options */
    int64_t lifetime_ms;
    int64_t stall_ms;
    int64_t retry_ms;
    size_t queue_bytes;
    struct sse_str cors_origin; /**< absent for none */
    struct sse_str token;       /**< absent for none */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP, /**< help was asked for, and has been printed */
    OPTIONS_BAD   /**< a message has been printed to standard error */
};

/** Texts in `options` point into `arguments`. */
enum options_result options_read(struct options *options, int count, char **arguments);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HUB_OPTIONS_H
#define HUB_OPTIONS_H

/** The command line. */

#include <sse/loop.h>
#include <sse/registry.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_HOST_SIZE 256
#define OPTIONS_PORT_SIZE 6
#define OPTIONS_NAMES_MAX 16

/** All times are in milliseconds. --help explains 0. */
struct options {
    char host[OPTIONS_HOST_SIZE]; /**< an address or a name; IPv6 without its brackets */
    char port[OPTIONS_PORT_SIZE]; /**< digits */
    bool read_stdin;
    struct sse_text cors_origin;              /**< absent for none */
    struct sse_text names[OPTIONS_NAMES_MAX]; /**< names by which clients reach the hub; the first is that of
                                               *   --listen */
    size_t name_count;
    struct sse_text token; /**< absent for none */
    enum sse_poller poller;

    /* Limits of each stream. */
    int64_t heartbeat_ms;
    int64_t lifetime_ms;
    int64_t stall_ms;
    int64_t retry_ms;
    size_t queue_bytes;
    enum sse_overflow overflow;

    /* Limits of all streams together. */
    size_t history_events;
    size_t history_bytes;
    int64_t history_age_ms;
    size_t budget;
    size_t clients_max;
    size_t topic_clients_max;
    enum sse_admission admission;

    /* For the shutdown. */
    int64_t grace_ms;
    int64_t retry_min_ms;
    int64_t retry_max_ms;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP, /**< help was asked for, and has been printed */
    OPTIONS_BAD   /**< a message has been printed to standard error */
};

/** Texts in `options` point into `arguments`. */
enum options_result options_read(struct options *options, int count, char **arguments);

#endif

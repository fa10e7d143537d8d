/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_STEP_H
#define INJECTION_STEP_H

/**
 * The steps of a scenario. Each makes one call, and checks the result:
 *
 * - Without a fault the call succeeds.
 * - With a fault it may return an error that its header documents, and then it has changed nothing. If the fault
 *   occurs once, the step makes the call again, and it must succeed.
 * - Accepted events are recorded for each client that must receive them.
 *
 * A step for a client that could not join does nothing. Some steps return the last result of the call.
 */

#include "server.h"

/** An event to make. */
struct making {
    char topic;  /* the topic of a publish; a space: everyone */
    bool own_id; /* replaces an assigned id */
    const char *key;
    unsigned padding; /* bytes of data after the number */
    unsigned count;   /* number of events in a message */
};

/** Each letter is a topic. `last_event_id` NULL: none. */
void step_join(struct client *client, const char *topics, const char *last_event_id);
/** The call must be refused with this error, with or without a fault. */
void step_join_refused(struct client *client, const char *topics, int error);

void step_subscribe(struct client *client, const char *topics, const char *last_event_id);
void step_unsubscribe(struct client *client, const char *topics);

void step_publish(const struct making *making);
void step_publish_message(const struct making *making);
void step_send(struct client *client, const struct making *making);
void step_send_message(struct client *client, const struct making *making);

void step_start(struct client *client, bool gap_filled);
void step_ping(struct client *client);
void step_complete(struct client *client);
void step_close(struct client *client);
/** PULL: a peek. That many bytes are consumed. */
void step_consume(struct client *client, size_t size);
int step_wait(struct client *client, int timeout_ms);

void step_visit_each(char topic);
void step_complete_topic(char topic);
/** With a final event and a retry. */
int step_shutdown(void);

/** sse_registry_new and sse_loop_new, with sse_loop_fd. */
int step_new_registry(struct sse_registry **registry, const struct sse_registry_options *options);
int step_new_loop(struct served_loop *served);

/** Short forms. */
void join(size_t which, enum client_kind kind, int loop, const char *topics);
void publish(char topic);
void publish_own(char topic);
void publish_large(char topic);
void send_to(struct client *client);

/** Returns the id of the newest event that has one. */
struct event_id newest_id(void);

#endif

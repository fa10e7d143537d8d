/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_REGISTRY_STAGE_H
#define SUPPORT_REGISTRY_STAGE_H

/**
 * A registry, a loop whose turns the test takes, and clients of both. Uses the assertions of cmocka.
 */

#include "fake_client.h"

#include <sse/registry.h>

#define CLIENTS 12
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* An event as a client receives it, with a one-digit hexadecimal number as the place in its id. */
#define ID(digit) "E-000000000000000" digit
#define EVENT(data, digit) "data: " data "\nid: " ID(digit) "\n\n"

extern const struct sse_text absent;
extern struct fake_platform platform;
extern struct fake_loop loop;
extern struct sse_registry *registry;
extern struct fake_client clients[CLIENTS];

/** For cmocka. The registry has a history of 1,000 events and the id prefix "E". */
int set_up(void **state);
int tear_down(void **state);

/** Replaces the registry of set_up, and sets size and platform of the options. */
void use_registry(struct sse_registry_options options);

/** Frees the client in this place, and sets the options of a new one, in the registry and the loop. */
struct fake_client *prepare(size_t which, enum sse_output output);

/** Opens a client. Each letter names a topic. Returns the result of sse_emitter_new. */
int join(struct fake_client *client, const char *topics, struct sse_text id);

/** Makes a client with a write callback. It has received the beginning of its stream. */
struct fake_client *enter(size_t which, const char *topics);

/** Subscribes a client to more topics, without a turn. */
int subscribe(struct fake_client *client, const char *topics, struct sse_text id, struct sse_replay *replay);
int unsubscribe(struct fake_client *client, const char *topics);

/** A new client in this place reconnects with an id, and must receive exactly these events. */
void come_back(size_t which, const char *topics, struct sse_text id, enum sse_replay_outcome outcome,
               const char *text);

/** Publishes. The letter names a topic; a space means everyone. */
struct sse_delivery publish_event(char topic, struct sse_event event);

/** Publishes, and lets the loop write the event. */
struct sse_delivery publish(char topic, const char *data);
struct sse_delivery publish_named(char topic, const char *data, const char *id);

void expect_delivery(struct sse_delivery delivery, size_t receivers, size_t dropped, size_t ended);

/** Sends a client an event, without a turn. */
int send_data(struct fake_client *client, const char *data);

/** Returns the number of subscribers of a topic, or of members for NULL. */
size_t count(const char *topic);

struct sse_registry_stats stats(void);

/** Lets time pass, and lets the loop run its timers. */
void advance_ms(uint64_t milliseconds);

/** Checks how a client ended, and that its callbacks reported the same. */
void expect_end(const struct fake_client *client, enum sse_reason reason, int error);
void expect_open(const struct fake_client *client);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_REPLAY_STAGE_H
#define SUPPORT_REPLAY_STAGE_H

/**
 * What the tests of replays play on: a registry with a history and the epoch "E", and clients that come
 * back. With cmocka's assertions.
 */

#include "fake_client.h"

#include <sse/registry.h>

#define CLIENTS 4

/* An event as it arrives, with the id of a sequence of one hexadecimal digit. */
#define ID(digit) "E-000000000000000" digit
#define EVENT(data, digit) "data: " data "\nid: " ID(digit) "\n\n"

extern const struct sse_str no_id;
extern struct fake_host host;
extern struct sse_registry *registry;
extern struct fake_client clients[CLIENTS];

int set_up(void **state);
int tear_down(void **state);

/** In place of the registry that set_up made. */
void use_registry(struct sse_registry_options options);

struct fake_client *connect_client(size_t which);

/** Each letter names a topic; a space the broadcasts. */
struct sse_delivery publish_event(char topic, struct sse_event event);
struct sse_delivery publish(char topic, const char *data);
struct sse_delivery publish_named(char topic, const char *data, const char *id);
int subscribe(struct fake_client *client, const char *topics, struct sse_str id, struct sse_replay *replay);

/** A new client in this place subscribes with an id, and must see exactly this. */
void come_back(size_t which, const char *topics, struct sse_str id, enum sse_replay_outcome outcome,
               const char *text);

struct sse_registry_stats stats(void);

#endif

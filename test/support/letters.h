/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LETTERS_H
#define SUPPORT_LETTERS_H

/** Events of one size whose data and id are one letter, and checks of which events were dropped. Uses the
 *  assertions of cmocka. */

#include "fake_client.h"

/* The bytes of such an event, without chunk framing. */
#define LETTER_SIZE 15

/** Sends an event. Returns the result of sse_emitter_send. */
int send_letter(struct fake_client *client, char letter);
int send_keyed_letter(struct fake_client *client, char letter, const char *key);
/** Sends each letter. All must be accepted. */
void send_letters(struct fake_client *client, const char *letters);

/** Checks that these letters arrived since fake_client_forget, in order, and nothing else. */
void expect_letters(struct fake_client *client, const char *letters);

/** Checks that the emitter is open, with this many events dropped and messages queued. */
void expect_open(const struct fake_client *client, uint64_t dropped, size_t queued);
/** Checks that the emitter has ended because its queue was full. */
void expect_overflow(const struct fake_client *client, int error, uint64_t dropped);

#endif

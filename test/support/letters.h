/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LETTERS_H
#define SUPPORT_LETTERS_H

/** Events of one size whose data and id are a letter, and what became of them. With the assertions of
 * cmocka. */

#include "fake_client.h"

/* The bytes of such an event, raw. */
#define LETTER_SIZE 15

/** Returns what sse_emitter_send returned. */
int send_letter(struct fake_client *client, char letter);
int send_keyed_letter(struct fake_client *client, char letter, const char *key);
/** Sends each of them; all must be accepted. */
void send_letters(struct fake_client *client, const char *letters);

/** These letters came through since fake_client_forget, in order, and nothing else. */
void expect_letters(struct fake_client *client, const char *letters);

/** It is open, with so many events dropped and messages queued. */
void expect_open(const struct fake_client *client, uint64_t dropped, size_t queued);
/** It has ended because its queue was full. */
void expect_overflow(const struct fake_client *client, int error, uint64_t dropped);

#endif

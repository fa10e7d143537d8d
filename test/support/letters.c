/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "letters.h"

#include <stdio.h>
#include <string.h>

int send_keyed_letter(struct fake_client *client, char letter, const char *key)
{
    const char text[] = {letter, '\0'};
    const struct sse_event event = {.data = sse_str(text), .id = sse_str(text), .key = sse_str(key)};

    return sse_emitter_send(client->emitter, &event);
}

int send_letter(struct fake_client *client, char letter)
{
    return send_keyed_letter(client, letter, NULL);
}

void send_letters(struct fake_client *client, const char *letters)
{
    for (; *letters; letters++)
        assert_int_equal(send_letter(client, *letters), 0);
}

void expect_letters(struct fake_client *client, const char *letters)
{
    const char *at = fake_client_text(client);

    for (; *letters; letters++) {
        char event[LETTER_SIZE + 1];

        (void)snprintf(event, sizeof(event), "data: %c\nid: %c\n\n", *letters, *letters);
        if (strncmp(at, event, LETTER_SIZE))
            fail_msg("%c is not next in <%s>", *letters, fake_client_text(client));
        at += LETTER_SIZE;
    }
    assert_string_equal(at, "");
}

void expect_open(const struct fake_client *client, uint64_t dropped, size_t queued)
{
    struct sse_emitter_info info = fake_client_info(client);

    assert_int_equal(info.state, SSE_STATE_OPEN);
    assert_int_equal(info.reason, SSE_REASON_NONE);
    assert_int_equal(info.dropped, dropped);
    assert_int_equal(info.queued_messages, queued);
    assert_int_equal(client->completions, 0);
    assert_int_equal(client->errors, 0);
}

void expect_overflow(const struct fake_client *client, int error, uint64_t dropped)
{
    struct sse_emitter_info info = fake_client_info(client);

    assert_int_equal(info.state, SSE_STATE_CLOSED);
    assert_int_equal(info.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(info.error, error);
    assert_int_equal(info.dropped, dropped);
    assert_int_equal(info.queued_messages, 0);
    assert_int_equal(info.queued_bytes, 0);
    assert_int_equal(client->errors, 1);
    assert_int_equal(client->error, error);
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(client->completion.error, error);
    assert_int_equal(client->completion.dropped, dropped);
}

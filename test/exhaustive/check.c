/* SPDX-License-Identifier: MIT */
#include "exhaustive.h"

#include <sse/message.h>

#define WIRE_MAX 1024

void check_bytes(const struct sse_event *event, struct tally *tally)
{
    if (event_check_bytes(event))
        tally->refused++;
    else
        tally->encoded++;
}

void check_event_quickly(const struct sse_event *event, struct tally *tally)
{
    char bytes[WIRE_MAX];
    int error = event_reference_error(event);
    ssize_t size = sse_event_encode(event, bytes, sizeof(bytes));

    if (error) {
        event_expect(size == error, event, "it is accepted, or refused with another error");
        tally->refused++;
        return;
    }
    event_expect(size > 0 && (size_t)size <= sizeof(bytes), event, "it is refused");
    event_check_client(event, 1, bytes, (size_t)size, 0);
    tally->encoded++;
}

void check_event(const struct sse_event *event, struct tally *tally)
{
    check_event_quickly(event, tally);
    (void)event_check_bytes(event);
}

void check_batch(const struct sse_event events[2], struct tally *tally)
{
    struct sse_message *message = NULL;
    int first = event_reference_error(&events[0]), second = event_reference_error(&events[1]);
    int error = sse_message_new(&message, events, 2, NULL);
    struct sse_text bytes = sse_message_bytes(message);

    event_expect(error == (first ? first : second), &events[0], "a batch with another error");
    if (error) {
        tally->refused++;
        return;
    }
    event_check_client(events, 2, bytes.ptr, bytes.len, 0);
    sse_message_unref(message);
    tally->encoded++;
}

/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "place.h"
#include "random.h"

#include <stdio.h>

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 1000
#define ENOUGH_MESSAGES 1024
#define ENOUGH_BYTES ((size_t)1 << 20)

int client_ready(struct sse_emitter *emitter, struct sse_text id)
{
    const struct sse_event event = {.type = sse_str("ready"), .data = sse_str(""), .id = id};

    return sse_emitter_send(emitter, &event);
}

/* Any other byte might begin a new line in the data. */
static bool can_be_id(struct sse_text text)
{
    return sse_event_encode(&(struct sse_event){.id = text}, NULL, 0) > 0;
}

int client_gap(struct sse_emitter *emitter, struct sse_text have, struct sse_text oldest, struct sse_text id)
{
    char data[CLIENT_ID_SIZE + 1 + PLACE_SIZE];
    const char *first_line = can_be_id(have) ? have.ptr : "";
    int size = snprintf(data, sizeof(data), "%.*s\n%.*s", (int)have.len, first_line, (int)oldest.len,
                        oldest.ptr ? oldest.ptr : "");
    const struct sse_event event = {.type = sse_str("gap"), .data = {data, (size_t)size}, .id = id};

    return sse_emitter_send(emitter, &event);
}

void client_return(struct sse_emitter *emitter)
{
    const struct sse_event retry = {.retry_ms = random_between(RETRY_MIN_MS, RETRY_MAX_MS)};

    (void)sse_emitter_send(emitter, &retry);
    (void)sse_emitter_complete(emitter);
}

bool client_has_room(struct sse_emitter *emitter)
{
    struct sse_emitter_info info;

    return !sse_emitter_get_info(emitter, &info, sizeof(info)) && info.state == SSE_STATE_OPEN &&
           info.queued_messages < ENOUGH_MESSAGES && info.queued_bytes < ENOUGH_BYTES;
}

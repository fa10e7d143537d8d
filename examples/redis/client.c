/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "redis.h"

#include <stdio.h>

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 1000
#define CROWD_MESSAGES 1024
#define CROWD_BYTES (CLIENT_QUEUE_BYTES / 8)

int client_ready(struct sse_emitter *emitter, struct place place)
{
    char id[PLACE_SIZE];
    const struct sse_event event = {
        .type = sse_str("ready"), .data = sse_str(""), .id = sse_str(place_format(place, id))};

    return sse_emitter_send(emitter, &event);
}

int client_gap(struct sse_emitter *emitter, struct sse_str asked, struct sse_str oldest,
               const struct place *place)
{
    char data[CLIENT_ID_MAX + 1 + PLACE_SIZE], id[PLACE_SIZE];
    int size =
        snprintf(data, sizeof(data), "%.*s\n%.*s", (int)asked.len, asked.ptr, (int)oldest.len, oldest.ptr);
    const struct sse_event event = {
        .type = sse_str("gap"),
        .data = {data, (size_t)size},
        .id = sse_str(place ? place_format(*place, id) : NULL),
    };

    return sse_emitter_send(emitter, &event);
}

void client_return(struct sse_emitter *emitter)
{
    (void)sse_emitter_send(emitter,
                           &(struct sse_event){.retry_ms = redis_jitter(RETRY_MIN_MS, RETRY_MAX_MS)});
    (void)sse_emitter_complete(emitter);
}

bool client_has_room(struct sse_emitter *emitter)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    return !sse_emitter_info(emitter, &info) && info.state == SSE_STATE_OPEN &&
           info.queued_messages < CROWD_MESSAGES && info.queued_bytes < CROWD_BYTES;
}

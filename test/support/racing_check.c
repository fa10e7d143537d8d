/* SPDX-License-Identifier: MIT */
#include "racing_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool get(const atomic_bool *flag)
{
    return atomic_load_explicit(flag, memory_order_relaxed);
}

static unsigned count(const atomic_uint *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

bool racing_reason_is_timeout(enum sse_reason reason)
{
    return reason == SSE_REASON_LIFETIME || reason == SSE_REASON_STALLED ||
           reason == SSE_REASON_DRAIN_TIMEOUT || reason == SSE_REASON_NOT_STARTED;
}

bool racing_reason_is_error(enum sse_reason reason)
{
    return reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR ||
           reason == SSE_REASON_OVERFLOW || reason == SSE_REASON_ABORTED;
}

static void check_callbacks(const struct racing_client *client)
{
    bool timed_out = racing_reason_is_timeout(client->completion.reason),
         failed = racing_reason_is_error(client->completion.reason);

    require(count(&client->completions) == 1 && count(&client->releases) == 1);
    require(client->completion.reason != SSE_REASON_NONE);
    require(count(&client->timeouts) == timed_out);
    require(count(&client->errors) == failed);
    require(client->callbacks_run == 1u + timed_out + failed);
    if (client->completion.reason == SSE_REASON_SHUTDOWN)
        require(client->completion.error == 0 || client->completion.error == -ETIMEDOUT);
    else
        require((client->completion.error == 0) == (client->completion.reason == SSE_REASON_COMPLETED ||
                                                    client->completion.reason == SSE_REASON_LIFETIME ||
                                                    client->completion.reason == SSE_REASON_EVICTED));
    require(!get(&client->inside) && get(&client->gone));
}

/* A paused stream drops its queued events when it ends. */
static void check_graceful(const struct racing_client *client, const struct numbered_list *list)
{
    enum sse_reason reason = client->completion.reason;

    if (client->completion.error ||
        (reason != SSE_REASON_COMPLETED && reason != SSE_REASON_LIFETIME && reason != SSE_REASON_EVICTED &&
         reason != SSE_REASON_SHUTDOWN))
        return;
    require(client->completion.dropped == 0 || client->plan.paused);
    if (client->left)
        return;
    require(list->whole);
    require(list->last_chunk == client->plan.chunked);
}

/* If the client disconnected, or consumed after the end, some bytes are unknown or not counted. */
static void check_counts(const struct racing_client *client, const struct numbered_list *list)
{
    const struct sse_completion *completion = &client->completion;
    const struct numbered_key *last;
    char id[32];

    if (client->left)
        return;
    if (client->peeked) {
        require(completion->bytes <= client->stream.size && completion->events <= list->count);
    } else {
        require(completion->bytes == client->stream.size);
        require(completion->events == list->count);
    }
    if (completion->events == 0) {
        require(completion->last_event_id.ptr == NULL);
        return;
    }
    last = &list->keys[completion->events - 1];
    snprintf(id, sizeof(id), "%u-%u", last->publisher, last->sequence);
    require(strcmp(id, client->last_event_id) == 0);
}

/* The library has closed the descriptor, so the other end notices it. */
static void check_closed(const struct racing_client *client)
{
    char byte;

    if (client->plan.owned && client->peer >= 0)
        require(recv(client->peer, &byte, 1, 0) == 0);
}

void racing_client_check(struct racing_client *client, struct numbered_list *list)
{
    racing_client_receive(client);
    numbered_list_init(list, &client->stream,
                       &(struct numbered_form){
                           .has_head = client->plan.has_head,
                           .chunked = client->plan.chunked,
                           .paused = client->plan.paused,
                       });
    if (!get(&client->made)) {
        require(count(&client->completions) == 0 && count(&client->releases) == 0 && !client->callbacks_run);
        return;
    }
    check_callbacks(client);
    check_graceful(client, list);
    check_counts(client, list);
    check_closed(client);
}

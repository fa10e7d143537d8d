/* SPDX-License-Identifier: MIT */
#include "connection/state.h"

#include <errno.h>

/*
 *              graceful reason    other reason
 *   open       draining           closed
 *   draining   -                  closed
 *   closed     -                  -
 *
 * A draining emitter whose queue is empty closes with the reason that began the draining.
 */
struct transition sse_state_end(enum sse_state state, enum sse_reason reason)
{
    if (state == SSE_STATE_CLOSED || reason == SSE_REASON_NONE)
        return (struct transition){.next = state};
    if (!sse_reason_is_graceful(reason))
        return (struct transition){.next = SSE_STATE_CLOSED, .taken = true};
    if (state == SSE_STATE_DRAINING)
        return (struct transition){.next = state};
    return (struct transition){.next = SSE_STATE_DRAINING, .taken = true};
}

bool sse_reason_is_graceful(enum sse_reason reason)
{
    return reason == SSE_REASON_COMPLETED || reason == SSE_REASON_LIFETIME || reason == SSE_REASON_SHUTDOWN ||
           reason == SSE_REASON_EVICTED;
}

bool sse_reason_is_timeout(enum sse_reason reason)
{
    return reason == SSE_REASON_LIFETIME || reason == SSE_REASON_STALLED ||
           reason == SSE_REASON_DRAIN_TIMEOUT || reason == SSE_REASON_NOT_STARTED;
}

bool sse_reason_is_error(enum sse_reason reason)
{
    return reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR ||
           reason == SSE_REASON_OVERFLOW || reason == SSE_REASON_ABORTED;
}

/* A connection is refused when a firewall rejects the packets to a client that has vanished. */
static bool client_is_gone(int error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ECONNREFUSED || error == -ETIMEDOUT ||
           error == -EHOSTUNREACH || error == -ENETUNREACH;
}

enum sse_reason sse_reason_of_output_error(int error)
{
    return client_is_gone(error) ? SSE_REASON_DISCONNECTED : SSE_REASON_OUTPUT_ERROR;
}

enum sse_reason sse_reason_of_abort(int error)
{
    return client_is_gone(error) ? SSE_REASON_DISCONNECTED : SSE_REASON_ABORTED;
}

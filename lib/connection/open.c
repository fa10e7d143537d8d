/* SPDX-License-Identifier: MIT */
#include "connection/open.h"
#include "base/platform.h"
#include "connection/leave.h"
#include "connection/mark.h"
#include "connection/write.h"

/* As many writes as a turn has. The owner writes the rest. */
#define WRITES_AT_FIRST 16

static bool is_descriptor(const struct sse_emitter *emitter)
{
    return emitter->output_kind == OUTPUT_SOCKET || emitter->output_kind == OUTPUT_FILE;
}

void sse_emitter_open(struct sse_emitter *emitter)
{
    struct mark_chain chain = {.to_wake = NULL};
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    emitter->opening = false;
    if (is_descriptor(emitter))
        sse_emitter_write(emitter, WRITES_AT_FIRST, emitter->created, NULL);
    sse_emitter_mark_always(emitter, &chain);
    sse_emitter_leave(emitter, false, emitter->created);
    sse_mark_chain_finish(&chain);
    pthread_setcancelstate(cancel_state, NULL);
}

/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_STATE_H
#define CONNECTION_STATE_H

/** The states of an emitter as pure functions: no object, no lock. */

#include <sse/emitter.h>

/** The effect of a reason to end in a state. */
struct transition {
    enum sse_state next;
    bool taken; /* false: the reason comes too late, so nothing changes */
};

struct transition sse_state_end(enum sse_state state, enum sse_reason reason);

/** Whether a stream that ends for this reason first writes what is queued. */
bool sse_reason_is_graceful(enum sse_reason reason);
bool sse_reason_is_timeout(enum sse_reason reason);
/** Whether on_error runs for this reason. */
bool sse_reason_is_error(enum sse_reason reason);

/** The reason when the output returned this negative errno, or sse_emitter_abort was called with it. */
enum sse_reason sse_reason_of_output_error(int error);
enum sse_reason sse_reason_of_abort(int error);

#endif

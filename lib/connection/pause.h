/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_PAUSE_H
#define CONNECTION_PAUSE_H

/** What waits behind a pause. Lock held. */

#include "connection/emitter.h"

/** Drops the messages for a gap that is filled, or those for a gap that is not. They do not count as dropped,
 *  because only one of the two groups was to be written. */
void sse_emitter_choose_after_gap(struct sse_emitter *emitter, bool filled);

/** Drops all of it, and counts what the client would have got. If it was not started, nobody has filled a gap. */
void sse_emitter_drop_pause(struct sse_emitter *emitter);

#endif

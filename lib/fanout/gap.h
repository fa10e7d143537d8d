/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_GAP_H
#define FANOUT_GAP_H

#include "fanout/replay.h"

/** Makes the event that tells a client of a gap: the id that it sent, and the id of the first event that
 * follows. 0 or -ENOMEM. */
int sse_gap_message_new(struct sse_message **message, const struct sse_registry *registry,
                        struct sse_text asked, struct sse_text following, const struct replay_place *place);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_NAMES_H
#define FANOUT_NAMES_H

/**
 * Names: the ids that publishers gave to retained events, with the places of these events. An id may name one place
 * in each topic, because publishers may number the events of each topic separately. The registry's lock guards
 * them.
 */

#include "base/map.h"
#include "fanout/topics.h"

struct names {
    struct map map; /* each id once in the scope of each topic that has it, and once in the scope of all */
    const struct sse_platform *platform;
};

/** What an id costs, in bytes. Its text is in its message, and does not count. */
size_t sse_names_cost(void);

void sse_names_init(struct names *names, const struct sse_platform *platform);
/** To be called when all names are forgotten. */
void sse_names_free(struct names *names);

/** Makes room for an id, so that sse_names_set cannot fail. It must follow, or sse_names_forget with sequence 0,
 *  which frees the room. Notes which topics share an id. False if there is no memory. */
bool sse_names_reserve(struct names *names, struct topic *topic, struct sse_text id);

/** Sets the place of an id in the sequence. The bytes of the id must stay valid until it is forgotten
 *  or set again. */
void sse_names_set(struct names *names, const struct topic *topic, struct sse_text id, uint64_t sequence);

/** Forgets the id, unless it now names a later event. */
void sse_names_forget(struct names *names, const struct topic *topic, struct sse_text id, uint64_t sequence);

/** Whether any topic has the id. */
bool sse_names_has(const struct names *names, struct sse_text id);

/** Finds the place of the id in this topic. False if the topic does not have it. */
bool sse_names_find(const struct names *names, const struct topic *topic, struct sse_text id,
                    uint64_t *sequence);

/** Finds the place of the id if exactly one topic has it. */
bool sse_names_find_anywhere(const struct names *names, struct sse_text id, uint64_t *sequence);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_NAMES_H
#define FANOUT_NAMES_H

/**
 * The ids that publishers gave to events which are retained, and the places of these events. An id names a
 * place in its topic, because publishers may number the events of each topic separately. No locks: the
 * registry's.
 */

#include "base/map.h"

struct topic;

struct names {
    struct map map; /* each id once in its topic's scope, and once in none */
    bool shared;    /* two topics have had one id at the same time: places go by the topic */
    const struct sse_platform *platform;
};

/** What an id costs, in bytes, beside the text, which lies in its message. */
size_t sse_names_cost(void);

void sse_names_init(struct names *names, const struct sse_platform *platform);
/** All names have been forgotten before. */
void sse_names_free(struct names *names);

/** Makes room for an id. sse_names_set must follow, which then cannot fail; or sse_names_forget with sequence
 * 0, which takes the room back. False without memory. */
bool sse_names_reserve(struct names *names, const struct topic *topic, struct sse_text id);

/** The id now stands for the event of this sequence. Its bytes must stay valid until it is forgotten or
 *  set again. */
void sse_names_set(struct names *names, const struct topic *topic, struct sse_text id, uint64_t sequence);

/** Forgets the id, unless it stands for a later event by now. */
void sse_names_forget(struct names *names, const struct topic *topic, struct sse_text id, uint64_t sequence);

/** Whether any topic has the id. */
bool sse_names_has(const struct names *names, struct sse_text id);

/** Where the id stands in this topic. False if it is not there. */
bool sse_names_find(const struct names *names, const struct topic *topic, struct sse_text id,
                    uint64_t *sequence);

/** Where the id stands if only one topic has it, whichever. */
bool sse_names_find_anywhere(const struct names *names, struct sse_text id, uint64_t *sequence);

#endif

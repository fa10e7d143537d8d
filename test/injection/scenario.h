/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_SCENARIO_H
#define INJECTION_SCENARIO_H

/** Scenarios that run while something fails. Each scenario can be played several times on the same server. */

#include "fault.h"
#include "step.h"

struct scenario {
    const char *name;
    void (*play)(void);
    struct sse_registry_options registry; /* without size and platform */
};

/* scenarios_joining.c */
void play_create(void);
void play_replay(void);
void play_paused(void);
void play_http(void);
void play_caps(void);

/* scenarios_publishing.c */
void play_publish(void);
void play_messages(void);
void play_overflow(void);
void play_budget(void);
void play_history(void);

/* scenarios_owners.c */
void play_loops(void);
void play_descriptors(void);
void play_watch(void);
void play_pull(void);
void play_wait(void);
void play_timers(void);
void play_shutdown(void);

#define SCENARIOS 17

extern const struct scenario scenarios[SCENARIOS];

/**
 * Plays a scenario on a new server with this fault, ends the clients, and plays it again on the same server without
 * a fault. Returns whether the fault has occurred.
 */
bool scenario_run(const struct scenario *scenario, enum loop_kind kind, const struct fault *fault);

#endif

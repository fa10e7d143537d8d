/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_BUDGET_H
#define FANOUT_BUDGET_H

#include "fanout/registry.h"

/** Ends the emitters with the most bytes queued until the rest is within the budget. Few are over it, so
 * nobody is looked at before that. No lock held, cancellation off. */
void sse_budget_enforce(struct sse_registry *registry, uint64_t now);

#endif

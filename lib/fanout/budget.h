/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_BUDGET_H
#define FANOUT_BUDGET_H

#include "fanout/registry.h"

/** Ends the emitters with the most bytes queued until the rest is within the budget. Does nothing if the sum is
 *  within it, which is nearly always the case. No lock held, cancellation disabled. */
void sse_budget_enforce(struct sse_registry *registry, uint64_t now);

#endif

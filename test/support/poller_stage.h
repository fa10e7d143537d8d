/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_POLLER_STAGE_H
#define SUPPORT_POLLER_STAGE_H

/** A poller of either kind, and pairs of sockets that it waits for. */

#include "fake_platform.h"
#include "loop/poller.h"

typedef int make_poller(struct poller **poller, const struct sse_platform *platform);

struct poller_stage {
    make_poller *make;
    struct fake_platform fake;
    struct poller *poller;
    struct poller_event events[POLLER_EVENTS_MAX];
};

/** The poller waits for the first end. */
struct poller_pair {
    int ends[2]; /* -1: closed */
    uint32_t generation;
};

/** For cmocka: *state is a make_poller ** and becomes the stage. The teardown fails if there is a leak. */
int poller_stage_set_up(void **state);
int poller_stage_tear_down(void **state);

/** A test with a poller of one kind. */
#define POLLER_TEST(function, maker)                                                                         \
    {                                                                                                        \
#function, function, poller_stage_set_up, poller_stage_tear_down, (void *)(uintptr_t)(maker)         \
    }

/** Runs a group for each kind of poller in this build. Returns the number of tests that failed. */
int poller_stage_run(int (*run)(make_poller *const *maker, const char *name));

bool poller_stage_is_epoll(const struct poller_stage *stage);

/** Opens a pair of stream sockets with a new generation. The first socket does not block. */
void poller_pair_open(struct poller_pair *pair);
void poller_pair_close(struct poller_pair *pair);
void poller_pair_close_end(struct poller_pair *pair, int end);

/** Does the same with the poller: opens and adds, or removes and closes. */
void poller_pair_add(struct poller_stage *stage, struct poller_pair *pair, unsigned interest);
void poller_pair_remove(struct poller_stage *stage, struct poller_pair *pair);

void poller_pair_change(struct poller_stage *stage, const struct poller_pair *pair, unsigned interest);

/** Polls once without waiting. Returns the number of events. */
int poller_stage_wait(struct poller_stage *stage);

/** Polls until there are only events that are reported again each time. */
void poller_stage_settle(struct poller_stage *stage);

/** Returns what one poll reports of this pair; 0: nothing. */
unsigned poller_stage_happened(struct poller_stage *stage, const struct poller_pair *pair);

/** Sends a byte to the first end. */
void poller_pair_send(const struct poller_pair *pair);

/** Writes until the socket accepts no more, or reads until it has no more. */
void poller_pair_fill(int fd);
void poller_pair_empty(int fd);

#endif

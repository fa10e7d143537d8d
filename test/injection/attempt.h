/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_ATTEMPT_H
#define INJECTION_ATTEMPT_H

/** A call that a fault may cause to fail. */

#include "server.h"

struct attempt {
    struct picture before;
    int failures;
};

/** `client`: the client that the call is about, or NULL. */
void attempt_begin(struct attempt *attempt, const struct client *client);

/** Returns whether to make the call again. An error must come from a fault, be one of these (0 ends the list), and
 *  have changed nothing. */
bool attempt_is_to_be_repeated(struct attempt *attempt, int error, const int *documented);

#endif

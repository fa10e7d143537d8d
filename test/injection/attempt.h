/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_ATTEMPT_H
#define INJECTION_ATTEMPT_H

/** A call that a fault may make fail. */

#include "server.h"

struct attempt {
    struct picture before;
    int failures;
};

/** `client`: that the call names, or NULL. */
void attempt_begin(struct attempt *attempt, const struct client *client);

/** Whether the call is to be made again. An error must come of a fault, be one of these (0 ends the list),
 * and have changed nothing. */
bool attempt_is_to_be_repeated(struct attempt *attempt, int error, const int *documented);

#endif

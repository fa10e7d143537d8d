/* SPDX-License-Identifier: MIT */
#ifndef HUB_INPUT_H
#define HUB_INPUT_H

/** Standard input, each line of which is broadcast. */

#include "hub.h"
#include "lines.h"

struct input {
    struct hub *hub;
    int fd; /**< -1 once it has ended */
    struct lines lines;
};

/** Reads `fd`, which stays the caller's; -1 for nothing to read. */
void input_begin(struct input *input, struct hub *hub, int fd);

/** Reads what is there, up to a bound: to be called when poll says so. */
void input_read(struct input *input);

void input_end(struct input *input);

#endif

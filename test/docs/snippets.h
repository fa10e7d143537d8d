/* SPDX-License-Identifier: MIT */
/*
 * What the snippets of README and guides take for granted: the names that a reader fills in. They are compiled and
 * not linked.
 */
#ifndef DOCS_SNIPPETS_H
#define DOCS_SNIPPETS_H

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sse/sse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Yours: sends the events of a store after an id, up to another one. */
int send_from_store(struct sse_emitter *emitter, struct sse_text after, const char *oldest, const char *newest);

#endif

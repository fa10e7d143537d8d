/* SPDX-License-Identifier: MIT */
/*
 * The names that the snippets of README and guides use, and that a reader defines. Snippets are compiled and not
 * linked.
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

/* As in <openssl/ssl.h>. */
typedef struct ssl_st SSL;

/* You write this: sends the events of a store after an id, up to another one. */
int send_from_store(struct sse_emitter *emitter, struct sse_text after, const struct sse_replay *replay, bool *filled);

#endif

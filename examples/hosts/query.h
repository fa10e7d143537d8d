/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_QUERY_H
#define HOSTS_QUERY_H

/** For the servers that leave the query of a request's target as it came. */

#include <sse/sse.h>

/** The value of `topic` in a query, decoded into `topic`. NULL if there is none, or none that can be. */
const char *query_topic(const char *query, char topic[SSE_TOPIC_SIZE_MAX + 1]);

#endif

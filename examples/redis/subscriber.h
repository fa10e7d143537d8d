/* SPDX-License-Identifier: MIT */
#ifndef REDIS_SUBSCRIBER_H
#define REDIS_SUBSCRIBER_H

/** What a client asked for: the `user` of its emitter, since on_gap is not told. */

#include <sse/base.h>
#include <stdbool.h>

#define SUBSCRIBER_TOPICS_MAX 64

struct subscriber {
    size_t count;
    struct sse_str topics[SUBSCRIBER_TOPICS_MAX];
    char *text; /**< of all topics */
};

/** The topics that the parameters `topic` of a query name. 0; -EINVAL: none, too many, one that can be none,
 * broken escapes; -ENOMEM. */
int subscriber_new(struct subscriber **subscriber, struct sse_str query);
void subscriber_free(struct subscriber *subscriber);

bool subscriber_has(const struct subscriber *subscriber, struct sse_str topic);

#endif

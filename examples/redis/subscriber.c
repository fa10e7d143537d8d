/* SPDX-License-Identifier: MIT */
#include "subscriber.h"

#include "ascii.h"
#include "query.h"

#include <errno.h>
#include <sse/registry.h>
#include <stdlib.h>

/* Topics are copied behind each other; decoding never makes a query longer. */
static int take_topics(struct subscriber *subscriber, struct query *query)
{
    struct query_parameter parameter;
    char *at = subscriber->text;
    int more;

    while ((more = query_next(query, &parameter)) > 0) {
        if (!ascii_equals(parameter.name, "topic"))
            continue;
        if (subscriber->count == SUBSCRIBER_TOPICS_MAX || !parameter.value.len ||
            parameter.value.len > SSE_TOPIC_SIZE_MAX)
            return -EINVAL;
        memcpy(at, parameter.value.ptr, parameter.value.len);
        subscriber->topics[subscriber->count++] = (struct sse_str){at, parameter.value.len};
        at += parameter.value.len;
    }
    return more < 0 ? more : subscriber->count ? 0 : -EINVAL;
}

int subscriber_new(struct subscriber **subscriber, struct sse_str text)
{
    struct subscriber *made = calloc(1, sizeof(*made));
    struct query *query = malloc(sizeof(*query));
    int error = -ENOMEM;

    if (made)
        made->text = malloc(text.len + 1);
    if (made && made->text && query) {
        query_begin(query, text);
        error = take_topics(made, query);
    }
    free(query);
    if (error)
        subscriber_free(made);
    else
        *subscriber = made;
    return error;
}

void subscriber_free(struct subscriber *subscriber)
{
    if (subscriber)
        free(subscriber->text);
    free(subscriber);
}

bool subscriber_has(const struct subscriber *subscriber, struct sse_str topic)
{
    for (size_t i = 0; i < subscriber->count; i++) {
        if (subscriber->topics[i].len == topic.len &&
            !memcmp(subscriber->topics[i].ptr, topic.ptr, topic.len))
            return true;
    }
    return false;
}

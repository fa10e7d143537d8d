/* SPDX-License-Identifier: MIT */
#include "current.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 1000
#define DRAIN_MS 2000

int current_open(struct current *current, const struct sse_registry_options *options)
{
    *current = (struct current){.options = *options};
    progress_open(&current->progress);
    pthread_mutex_init(&current->lock, NULL);
    return sse_registry_new(&current->registry, options);
}

struct sse_registry *current_registry(struct current *current)
{
    struct place published;

    return current_registry_at(current, &published);
}

struct sse_registry *current_registry_at(struct current *current, struct place *published)
{
    struct sse_registry *registry;

    pthread_mutex_lock(&current->lock);
    registry = sse_registry_ref(current->registry);
    *published = progress_published(&current->progress);
    pthread_mutex_unlock(&current->lock);
    return registry;
}

static int shut_down(struct sse_registry *registry, const struct sse_event *final_event)
{
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = final_event,
                                                 .retry_min_ms = RETRY_MIN_MS,
                                                 .retry_max_ms = RETRY_MAX_MS,
                                                 .drain_ms = DRAIN_MS};

    return sse_registry_shutdown(registry, &options);
}

/* Without memory for the final event, the clients learn of the gap when they reconnect. */
int current_replace(struct current *current, struct place start, const struct sse_event *final_event)
{
    struct sse_registry *next, *before;
    int error = sse_registry_new(&next, &current->options);

    if (error)
        return error;
    pthread_mutex_lock(&current->lock);
    before = current->registry;
    current->registry = next;
    progress_begin(&current->progress, start);
    pthread_mutex_unlock(&current->lock);
    if (shut_down(before, final_event) < 0)
        (void)sse_registry_complete(before, sse_str(NULL));
    sse_registry_unref(before);
    return 0;
}

int current_shut_down(struct current *current, const struct sse_event *final_event)
{
    struct sse_registry *registry = current_registry(current);
    int error = shut_down(registry, final_event);

    sse_registry_unref(registry);
    return error;
}

void current_close(struct current *current)
{
    sse_registry_unref(current->registry);
    pthread_mutex_destroy(&current->lock);
    progress_close(&current->progress);
}

/* SPDX-License-Identifier: MIT */
#include "driver/watches.h"
#include "driver/memory.h"

#include <errno.h>

int sse_watches_init(struct watches *watches, const struct sse_host *host)
{
    *watches = (struct watches){.host = host};
    return pthread_mutex_init(&watches->lock, NULL) ? -ENOMEM : 0;
}

void sse_watches_free(struct watches *watches)
{
    pthread_mutex_destroy(&watches->lock);
    memory_release(watches->host, watches->by_descriptor);
}

bool sse_watches_were_left_locked(struct watches *watches)
{
    if (pthread_mutex_trylock(&watches->lock))
        return true;
    pthread_mutex_unlock(&watches->lock);
    return false;
}

static int reserve(struct watches *watches, size_t descriptor)
{
    size_t size = watches->size ? watches->size : 16;
    struct watch **table;

    if (descriptor < watches->size)
        return 0;
    while (size <= descriptor)
        size *= 2;
    table = memory_allocate(watches->host, size * sizeof(struct watch *));
    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++)
        table[i] = i < watches->size ? watches->by_descriptor[i] : NULL;
    memory_release(watches->host, watches->by_descriptor);
    watches->by_descriptor = table;
    watches->size = size;
    return 0;
}

/* Lock held. */
static void append_due(struct watches *watches, struct watch *watch)
{
    if (watch->due)
        return;
    watch->due = true;
    watch->next_due = NULL;
    if (watches->last_due)
        watches->last_due->next_due = watch;
    else
        watches->first_due = watch;
    watches->last_due = watch;
    watches->due_count++;
}

int sse_watches_add(struct watches *watches, struct watch *watch, struct poller *poller)
{
    size_t descriptor = (size_t)watch->item.descriptor;
    int error;

    pthread_mutex_lock(&watches->lock);
    error = reserve(watches, descriptor);
    if (!error && watches->by_descriptor[descriptor])
        error = -EEXIST;
    if (!error)
        error = poller->add(poller, &watch->item);
    if (!error) {
        watches->by_descriptor[descriptor] = watch;
        watches->count++;
        append_due(watches, watch);
    }
    pthread_mutex_unlock(&watches->lock);
    return error;
}

void sse_watches_remove(struct watches *watches, struct watch *watch)
{
    pthread_mutex_lock(&watches->lock);
    watches->by_descriptor[watch->item.descriptor] = NULL;
    watches->count--;
    pthread_mutex_unlock(&watches->lock);
}

struct watch *sse_watches_last(struct watches *watches)
{
    struct watch *last;

    pthread_mutex_lock(&watches->lock);
    while (watches->size && !watches->by_descriptor[watches->size - 1])
        watches->size--;
    last = watches->size ? watches->by_descriptor[watches->size - 1] : NULL;
    pthread_mutex_unlock(&watches->lock);
    return last;
}

size_t sse_watches_count(struct watches *watches)
{
    size_t count;

    pthread_mutex_lock(&watches->lock);
    count = watches->count;
    pthread_mutex_unlock(&watches->lock);
    return count;
}

void sse_watches_mark_due(struct watches *watches, struct watch *watch)
{
    pthread_mutex_lock(&watches->lock);
    append_due(watches, watch);
    pthread_mutex_unlock(&watches->lock);
}

void sse_watches_mark_emitter_due(struct watches *watches, const struct sse_emitter *emitter)
{
    int descriptor = sse_emitter_fd(emitter);
    struct watch *watch = NULL;

    pthread_mutex_lock(&watches->lock);
    if (descriptor >= 0 && (size_t)descriptor < watches->size)
        watch = watches->by_descriptor[descriptor];
    /* An emitter that was never here may have had the same number before. */
    if (watch && watch->emitter == emitter)
        append_due(watches, watch);
    pthread_mutex_unlock(&watches->lock);
}

size_t sse_watches_due_count(struct watches *watches)
{
    size_t count;

    pthread_mutex_lock(&watches->lock);
    count = watches->due_count;
    pthread_mutex_unlock(&watches->lock);
    return count;
}

struct watch *sse_watches_pop_due(struct watches *watches)
{
    struct watch *watch;

    pthread_mutex_lock(&watches->lock);
    watch = watches->first_due;
    watches->first_due = watch->next_due;
    if (!watches->first_due)
        watches->last_due = NULL;
    watches->due_count--;
    watch->due = false;
    pthread_mutex_unlock(&watches->lock);
    return watch;
}

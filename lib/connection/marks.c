/* SPDX-License-Identifier: MIT */
#include "connection/marks.h"
#include "connection/emitter.h"

#include <errno.h>

int sse_marks_init(struct marks *marks)
{
    *marks = (struct marks){.first = NULL};
    if (pthread_mutex_init(&marks->lock, NULL))
        return -ENOMEM;
    if (pthread_cond_init(&marks->unpinned, NULL)) {
        pthread_mutex_destroy(&marks->lock);
        return -ENOMEM;
    }
    return 0;
}

void sse_marks_destroy(struct marks *marks)
{
    pthread_cond_destroy(&marks->unpinned);
    pthread_mutex_destroy(&marks->lock);
}

void sse_marks_pin(struct marks *marks)
{
    pthread_mutex_lock(&marks->lock);
    marks->pins++;
    pthread_mutex_unlock(&marks->lock);
}

/* Lock held. */
static void unpin(struct marks *marks)
{
    marks->pins--;
    if (marks->closing)
        pthread_cond_signal(&marks->unpinned);
}

void sse_marks_unpin(struct marks *marks)
{
    pthread_mutex_lock(&marks->lock);
    unpin(marks);
    pthread_mutex_unlock(&marks->lock);
}

/* Marks the emitters of a list. If their loop must be woken, it stays pinned until that is done. Between the mark
 * and the wake the loop may have a turn for another reason, and get new marks. It is still in at most one chain:
 * the thread with that chain wakes it for the new marks too. */
static void splice(struct mark_chain *chain, const struct mark_list *list)
{
    struct marks *marks = list->marks;

    pthread_mutex_lock(&marks->lock);
    if (marks->first)
        marks->last->next_marked = list->first;
    else
        marks->first = list->first;
    marks->last = list->last;
    marks->wake_due |= !marks->awake;
    if (marks->awake || marks->waking) {
        unpin(marks);
    } else {
        marks->waking = true;
        marks->next_to_wake = chain->to_wake;
        chain->to_wake = marks;
    }
    marks->awake = true;
    pthread_mutex_unlock(&marks->lock);
}

static struct mark_list *begin_list(struct mark_chain *chain, struct marks *marks,
                                    struct sse_emitter *emitter)
{
    struct mark_list *list = &chain->lists[chain->oldest];

    if (chain->count < MARK_LISTS) {
        list = &chain->lists[chain->count++];
    } else {
        splice(chain, list);
        chain->oldest = (chain->oldest + 1) % MARK_LISTS;
    }
    sse_marks_pin(marks);
    *list = (struct mark_list){.marks = marks, .first = emitter, .last = emitter};
    return list;
}

/* Tries the list of the last emitter first, and then the list after it, because receivers may alternate. */
static struct mark_list *find_list(struct mark_chain *chain, const struct marks *marks)
{
    struct mark_list *list = chain->current, *end = chain->lists + chain->count;

    if (!list || list->marks == marks)
        return list;
    list = list + 1 < end ? list + 1 : chain->lists;
    if (list->marks == marks)
        return list;
    for (list = chain->lists; list < end; list++) {
        if (list->marks == marks)
            return list;
    }
    return NULL;
}

void sse_mark_chain_add(struct mark_chain *chain, struct marks *marks, struct sse_emitter *emitter)
{
    struct mark_list *list = find_list(chain, marks);

    emitter->next_marked = NULL;
    if (list) {
        list->last->next_marked = emitter;
        list->last = emitter;
    } else {
        list = begin_list(chain, marks, emitter);
    }
    chain->current = list;
}

/* Wakes a loop, and again if there are new marks meanwhile. No wake is due if a turn has taken the
 * marks already. */
static void wake_for_all(struct marks *marks)
{
    bool due;

    do {
        pthread_mutex_lock(&marks->lock);
        due = marks->wake_due;
        marks->wake_due = false;
        marks->waking = due;
        if (!due)
            unpin(marks);
        pthread_mutex_unlock(&marks->lock);
        if (due)
            marks->wake(marks);
    } while (due);
}

void sse_mark_chain_finish(struct mark_chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        splice(chain, &chain->lists[i]);
    chain->count = 0;
    chain->current = NULL;
    while (chain->to_wake) {
        struct marks *marks = chain->to_wake;

        chain->to_wake = marks->next_to_wake;
        wake_for_all(marks);
    }
}

void sse_marks_rouse(struct marks *marks)
{
    pthread_mutex_lock(&marks->lock);
    marks->awake = true;
    pthread_mutex_unlock(&marks->lock);
}

struct sse_emitter *sse_marks_take(struct marks *marks)
{
    struct sse_emitter *first;

    pthread_mutex_lock(&marks->lock);
    first = marks->first;
    marks->first = NULL;
    marks->last = NULL;
    marks->awake = true;
    marks->wake_due = false;
    pthread_mutex_unlock(&marks->lock);
    return first;
}

bool sse_marks_rest(struct marks *marks)
{
    bool rest;

    pthread_mutex_lock(&marks->lock);
    rest = !marks->first;
    marks->awake = !rest;
    pthread_mutex_unlock(&marks->lock);
    return rest;
}

void sse_marks_wake(struct marks *marks)
{
    bool awake;

    pthread_mutex_lock(&marks->lock);
    awake = marks->awake;
    marks->awake = true;
    marks->pins += !awake;
    pthread_mutex_unlock(&marks->lock);
    if (awake)
        return;
    marks->wake(marks);
    sse_marks_unpin(marks);
}

void sse_marks_close(struct marks *marks)
{
    pthread_mutex_lock(&marks->lock);
    marks->closing = true;
    while (marks->pins)
        pthread_cond_wait(&marks->unpinned, &marks->lock);
    pthread_mutex_unlock(&marks->lock);
}

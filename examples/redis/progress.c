/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <errno.h>
#include <time.h>

#define AWAIT_SECONDS 2
#define WAITING_MAX 4

void progress_open(struct progress *progress)
{
    pthread_condattr_t monotonic;

    *progress = (struct progress){.begun = false};
    pthread_mutex_init(&progress->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&progress->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void progress_close(struct progress *progress)
{
    pthread_cond_destroy(&progress->moved);
    pthread_mutex_destroy(&progress->lock);
}

void progress_begin(struct progress *progress, struct place start)
{
    pthread_mutex_lock(&progress->lock);
    progress->start = progress->read = progress->published = start;
    progress->begun = true;
    pthread_mutex_unlock(&progress->lock);
}

void progress_note(struct progress *progress, struct place place, bool event)
{
    pthread_mutex_lock(&progress->lock);
    progress->read = place;
    if (event)
        progress->published = place;
    pthread_cond_broadcast(&progress->moved);
    pthread_mutex_unlock(&progress->lock);
}

bool progress_has_begun(struct progress *progress)
{
    bool begun;

    pthread_mutex_lock(&progress->lock);
    begun = progress->begun;
    pthread_mutex_unlock(&progress->lock);
    return begun;
}

static struct place look(struct progress *progress, const struct place *place)
{
    struct place copy;

    pthread_mutex_lock(&progress->lock);
    copy = *place;
    pthread_mutex_unlock(&progress->lock);
    return copy;
}

struct place progress_start(struct progress *progress)
{
    return look(progress, &progress->start);
}

struct place progress_read(struct progress *progress)
{
    return look(progress, &progress->read);
}

struct place progress_published(struct progress *progress)
{
    return look(progress, &progress->published);
}

bool progress_await(struct progress *progress, struct place place)
{
    struct timespec until;
    int error = 0;
    bool reached;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += AWAIT_SECONDS;
    pthread_mutex_lock(&progress->lock);
    if (progress->waiting++ >= WAITING_MAX)
        error = ETIMEDOUT;
    while (!error && place_compare(progress->read, place) < 0)
        error = pthread_cond_timedwait(&progress->moved, &progress->lock, &until);
    progress->waiting--;
    reached = place_compare(progress->read, place) >= 0;
    pthread_mutex_unlock(&progress->lock);
    return reached;
}

/* SPDX-License-Identifier: MIT */
#include "workers.h"

#include "descriptor.h"

#include <errno.h>
#include <unistd.h>

/* Returns the next request, or NULL at the end. */
static struct incoming *next_request(struct workers *workers)
{
    struct incoming *next;

    pthread_mutex_lock(&workers->lock);
    while (!workers->first && !workers->stopping)
        pthread_cond_wait(&workers->changed, &workers->lock);
    next = workers->first;
    if (next)
        workers->first = next->next;
    if (!workers->first)
        workers->last = &workers->first;
    pthread_mutex_unlock(&workers->lock);
    return next;
}

/* The pipe has room for more pointers than there are connections: see intake.c. */
static void hand_back(const struct workers *workers, struct incoming *incoming)
{
    if (write(workers->answered[1], &incoming, sizeof(incoming)) != (ssize_t)sizeof(incoming))
        incoming_free(incoming);
}

static void *work(void *user)
{
    struct workers *workers = user;
    struct incoming *incoming;

    while ((incoming = next_request(workers))) {
        if (routes_answer(workers->node, incoming->fd, &incoming->request, &incoming->body))
            incoming->fd = -1;
        hand_back(workers, incoming);
    }
    return NULL;
}

static int open_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return -errno;
    if (descriptor_prepare(ends[0]) < 0 || descriptor_prepare(ends[1]) < 0) {
        close(ends[0]);
        close(ends[1]);
        return -EMFILE;
    }
    return 0;
}

int workers_start(struct workers *workers, struct node *node)
{
    int error;

    *workers = (struct workers){.node = node};
    workers->last = &workers->first;
    error = open_pipe(workers->answered);
    if (error)
        return error;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->changed, NULL);
    while (workers->count < WORKERS && !error) {
        error = -pthread_create(&workers->threads[workers->count], NULL, work, workers);
        workers->count += !error;
    }
    if (error)
        workers_stop(workers);
    return error;
}

void workers_add(struct workers *workers, struct incoming *incoming)
{
    incoming->next = NULL;
    pthread_mutex_lock(&workers->lock);
    *workers->last = incoming;
    workers->last = &incoming->next;
    pthread_cond_signal(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
}

void workers_stop(struct workers *workers)
{
    struct incoming *incoming;

    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
    for (size_t i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    while (read(workers->answered[0], &incoming, sizeof(incoming)) == (ssize_t)sizeof(incoming))
        incoming_free(incoming);
    close(workers->answered[0]);
    close(workers->answered[1]);
    pthread_cond_destroy(&workers->changed);
    pthread_mutex_destroy(&workers->lock);
}

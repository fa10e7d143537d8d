/* SPDX-License-Identifier: MIT */
#include "loop/watches.h"
#include "base/platform.h"

#include <errno.h>
#include <sys/stat.h>

void sse_watches_free(struct watches *watches, const struct sse_platform *platform)
{
    sse_platform_deallocate(platform, watches->by_number);
}

static bool is_watched(const struct watch *watch)
{
    return watch->writer || watch->watchers;
}

struct watch *sse_watches_find(const struct watches *watches, int descriptor)
{
    struct watch *watch;

    if (descriptor < 0 || (size_t)descriptor >= watches->size)
        return NULL;
    watch = &watches->by_number[descriptor];
    return is_watched(watch) ? watch : NULL;
}

static int reserve(struct watches *watches, size_t descriptor, const struct sse_platform *platform)
{
    size_t size = watches->size ? watches->size : 16;
    struct watch *table;

    if (descriptor < watches->size)
        return 0;
    while (size <= descriptor)
        size *= 2;
    table = sse_platform_allocate(platform, size * sizeof(*table));
    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++)
        table[i] = i < watches->size ? watches->by_number[i] : (struct watch){.writer = NULL};
    sse_platform_deallocate(platform, watches->by_number);
    watches->by_number = table;
    watches->size = size;
    return 0;
}

static bool writes(const struct sse_emitter *emitter)
{
    return emitter->output_kind == OUTPUT_SOCKET || emitter->output_kind == OUTPUT_FILE;
}

static unsigned interest_of(const struct sse_emitter *emitter)
{
    unsigned interest = emitter->asked_for_room ? POLLER_OUTPUT : 0;

    if (emitter->output_kind == OUTPUT_SOCKET && !emitter->half_closed)
        interest |= POLLER_INPUT;
    if (!writes(emitter) && !emitter->half_closed)
        interest |= POLLER_HANGUP;
    return interest;
}

/* Gives the descriptor to the poller. A regular file always has room, and so have devices such as /dev/null,
 * which epoll does not accept (-EPERM). */
static int begin(struct watches *watches, struct watch *watch, const struct sse_emitter *emitter,
                 struct poller *poller)
{
    uint32_t generation = ++watches->generation;
    unsigned interest = interest_of(emitter);
    struct stat status;
    int error;

    if (fstat(sse_emitter_descriptor(emitter), &status))
        return -errno;
    error = S_ISREG(status.st_mode)
                ? 0
                : poller->add(poller, sse_emitter_descriptor(emitter), generation, interest);
    if (error == -EPERM)
        error = 0;
    if (!error)
        *watch = (struct watch){
            .generation = generation, .interest = interest, .device = status.st_dev, .inode = status.st_ino};
    return error;
}

static int add_writer(struct watches *watches, struct watch *watch, struct sse_emitter *emitter,
                      struct poller *poller)
{
    int error = is_watched(watch) ? -EEXIST : begin(watches, watch, emitter, poller);

    if (!error)
        watch->writer = emitter;
    return error;
}

static int add_watcher(struct watches *watches, struct watch *watch, struct sse_emitter *emitter,
                       struct poller *poller, const struct sse_platform *platform)
{
    struct watcher *watcher;
    int error = 0;

    if (watch->writer)
        return -EEXIST;
    watcher = sse_platform_allocate(platform, sizeof(*watcher));
    if (!watcher)
        return -ENOMEM;
    if (!watch->watchers)
        error = begin(watches, watch, emitter, poller);
    if (error) {
        sse_platform_deallocate(platform, watcher);
        return error;
    }
    *watcher = (struct watcher){.emitter = emitter, .next = watch->watchers};
    watch->watchers = watcher;
    return 0;
}

int sse_watches_add(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                    const struct sse_platform *platform)
{
    int error = reserve(watches, (size_t)sse_emitter_descriptor(emitter), platform);
    struct watch *watch;

    if (error)
        return error;
    watch = &watches->by_number[sse_emitter_descriptor(emitter)];
    return writes(emitter) ? add_writer(watches, watch, emitter, poller)
                           : add_watcher(watches, watch, emitter, poller, platform);
}

static void remove_watcher(struct watch *watch, const struct sse_emitter *emitter,
                           const struct sse_platform *platform)
{
    struct watcher **at = &watch->watchers;
    struct watcher *watcher;

    while (*at && (*at)->emitter != emitter)
        at = &(*at)->next;
    watcher = *at;
    if (watcher)
        *at = watcher->next;
    sse_platform_deallocate(platform, watcher);
}

void sse_watches_remove(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                        const struct sse_platform *platform)
{
    struct watch *watch = sse_watches_find(watches, sse_emitter_descriptor(emitter));

    if (!watch)
        return;
    if (watch->writer == emitter)
        watch->writer = NULL;
    else
        remove_watcher(watch, emitter, platform);
    if (!is_watched(watch))
        poller->remove(poller, sse_emitter_descriptor(emitter));
}

bool sse_watches_is_same_file(const struct watches *watches, const struct sse_emitter *emitter)
{
    const struct watch *watch = sse_watches_find(watches, sse_emitter_descriptor(emitter));
    struct stat status;

    return !fstat(sse_emitter_descriptor(emitter), &status) && status.st_dev == watch->device &&
           status.st_ino == watch->inode;
}

void sse_watches_ask(struct watches *watches, int descriptor, struct poller *poller)
{
    struct watch *watch = sse_watches_find(watches, descriptor);
    unsigned interest;

    if (!watch)
        return;
    interest = watch->writer ? interest_of(watch->writer) : 0;
    for (const struct watcher *watcher = watch->watchers; watcher; watcher = watcher->next)
        interest |= interest_of(watcher->emitter);
    if (watch->interest == interest)
        return;
    watch->interest = interest;
    poller->change(poller, descriptor, watch->generation, interest);
}

/* SPDX-License-Identifier: MIT */
#include "loop/watches.h"
#include "base/platform.h"

#include <errno.h>
#include <sys/stat.h>

/* After so many reports of room with which a write callback has written nothing, it waits for something else. Once is
 * not enough: another stream of the socket may have taken the room. */
#define IN_VAIN_MAX 2

static struct watch *watch_at(const struct watches *watches, uint32_t number)
{
    return sse_array_at(&watches->by_number, sizeof(struct watch), number);
}

static void free_watchers(struct watch *watch, const struct sse_platform *platform)
{
    if (watch->watchers)
        sse_array_free(&watch->watchers->list, platform);
    sse_platform_deallocate(platform, watch->watchers);
    watch->watchers = NULL;
}

/* In a forked child there may be watches left. */
void sse_watches_free(struct watches *watches, const struct sse_platform *platform)
{
    for (uint32_t i = 0; i < watches->by_number.capacity; i++)
        free_watchers(watch_at(watches, i), platform);
    sse_array_free(&watches->by_number, platform);
}

static bool is_watched(const struct watch *watch)
{
    return watch->writer || watch->watchers;
}

struct watch *sse_watches_find(const struct watches *watches, int descriptor)
{
    struct watch *watch;

    if (descriptor < 0 || (uint32_t)descriptor >= watches->by_number.capacity)
        return NULL;
    watch = watch_at(watches, (uint32_t)descriptor);
    return is_watched(watch) ? watch : NULL;
}

static int reserve(struct watches *watches, uint32_t descriptor, const struct sse_platform *platform)
{
    uint32_t before = watches->by_number.capacity;
    bool enough =
        sse_array_reserve(&watches->by_number, sizeof(struct watch), (size_t)descriptor + 1, platform);

    for (uint32_t i = before; i < watches->by_number.capacity; i++)
        *watch_at(watches, i) = (struct watch){.writer = NULL};
    return enough ? 0 : -ENOMEM;
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

/* Adds the descriptor to the poller, unless it always has room: a regular file, or a device such as /dev/null,
 * which epoll refuses with -EPERM. */
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

static uint32_t place_of(const struct sse_emitter *emitter)
{
    return sse_emitter_extra(emitter, EXTRA_WATCH)->watch.place;
}

static void set_place(const struct sse_emitter *emitter, uint32_t place)
{
    sse_emitter_extra(emitter, EXTRA_WATCH)->watch.place = place;
}

/* The emitter's entry, or NULL if it no longer watches. */
static struct watcher *find_watcher(const struct watch *watch, const struct sse_emitter *emitter)
{
    if (writes(emitter) || place_of(emitter) >= sse_watch_count(watch))
        return NULL;
    return sse_watch_at(watch, place_of(emitter))->emitter == emitter ? sse_watch_at(watch, place_of(emitter))
                                                                      : NULL;
}

static void set_interest(struct watchers *watchers, struct watcher *watcher, unsigned interest)
{
    watchers->asking_for_room += (interest & POLLER_OUTPUT) != 0;
    watchers->asking_for_room -= (watcher->interest & POLLER_OUTPUT) != 0;
    watchers->asking_for_hangup += (interest & POLLER_HANGUP) != 0;
    watchers->asking_for_hangup -= (watcher->interest & POLLER_HANGUP) != 0;
    watcher->interest = interest;
}

static bool reserve_watcher(struct watch *watch, const struct sse_platform *platform)
{
    if (!watch->watchers) {
        watch->watchers = sse_platform_allocate(platform, sizeof(*watch->watchers));
        if (!watch->watchers)
            return false;
        *watch->watchers = (struct watchers){.count = 0};
    }
    return sse_array_reserve(&watch->watchers->list, sizeof(struct watcher),
                             (size_t)watch->watchers->count + 1, platform);
}

static int add_watcher(struct watches *watches, struct watch *watch, struct sse_emitter *emitter,
                       struct poller *poller, const struct sse_platform *platform)
{
    struct watchers *watchers;
    struct watcher *added;
    int error = 0;

    if (watch->writer)
        return -EEXIST;
    if (!reserve_watcher(watch, platform))
        error = -ENOMEM;
    watchers = watch->watchers;
    if (!error && !watchers->count)
        error = begin(watches, watch, emitter, poller);
    if (error) {
        if (!sse_watch_count(watch))
            free_watchers(watch, platform);
        return error;
    }
    watch->watchers = watchers;
    set_place(emitter, watchers->count);
    added = sse_watch_at(watch, watchers->count++);
    *added = (struct watcher){.emitter = emitter, .written = UINT32_MAX};
    set_interest(watchers, added, interest_of(emitter));
    return 0;
}

int sse_watches_add(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                    const struct sse_platform *platform)
{
    uint32_t number = (uint32_t)sse_emitter_descriptor(emitter);
    int error = reserve(watches, number, platform);
    struct watch *watch;

    if (error)
        return error;
    watch = watch_at(watches, number);
    return writes(emitter) ? add_writer(watches, watch, emitter, poller)
                           : add_watcher(watches, watch, emitter, poller, platform);
}

/* Removes a watcher. The last one moves to its place. */
static void remove_watcher(struct watch *watch, const struct sse_emitter *emitter,
                           const struct sse_platform *platform)
{
    struct watchers *watchers = watch->watchers;
    struct watcher *removed = find_watcher(watch, emitter);

    if (!removed)
        return;
    set_interest(watchers, removed, 0);
    *removed = *sse_watch_at(watch, --watchers->count);
    set_place(removed->emitter, place_of(emitter));
    sse_array_trim(&watchers->list, watchers->count, platform);
    if (!watchers->count)
        free_watchers(watch, platform);
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

    /* With any other error the number is open, so assume that it is the same file. */
    if (fstat(sse_emitter_descriptor(emitter), &status))
        return errno != EBADF;
    return status.st_dev == watch->device && status.st_ino == watch->inode;
}

static unsigned wanted(const struct watch *watch)
{
    unsigned interest = watch->writer ? interest_of(watch->writer) : 0;

    if (watch->watchers && watch->watchers->asking_for_room)
        interest |= POLLER_OUTPUT;
    if (watch->watchers && watch->watchers->asking_for_hangup)
        interest |= POLLER_HANGUP;
    return interest;
}

void sse_watches_ask_again(struct watches *watches, int descriptor, struct poller *poller)
{
    struct watch *watch = sse_watches_find(watches, descriptor);
    unsigned interest = watch ? wanted(watch) : 0;

    if (!watch || watch->interest == interest)
        return;
    watch->interest = interest;
    poller->change(poller, descriptor, watch->generation, interest);
}

void sse_watches_note_room(const struct watch *watch, struct watcher *watcher)
{
    set_interest(watch->watchers, watcher, watcher->interest & ~(unsigned)POLLER_OUTPUT);
}

/* Only the loop's thread calls a write callback, counts what that has written, and asks for room. So the emitter's
 * lock is not necessary. */
bool sse_watches_must_ask(struct watches *watches, const struct sse_emitter *emitter)
{
    struct watch *watch = sse_watches_find(watches, sse_emitter_descriptor(emitter));
    struct watcher *watcher = watch ? find_watcher(watch, emitter) : NULL;
    uint32_t written = (uint32_t)emitter->bytes;
    bool reported;

    if (!watcher)
        return false;
    reported = emitter->asked_for_room && !(watcher->interest & POLLER_OUTPUT);
    watcher->in_vain = reported && watcher->written == written ? watcher->in_vain + 1 : 0;
    watcher->written = written;
    /* The count begins again: if the socket is full later, the emitter asks for room without this function. */
    if (watcher->in_vain == IN_VAIN_MAX) {
        watcher->in_vain = 0;
        return false;
    }
    /* The poller is asked again, because epoll reports room that is there already only when it is asked. */
    watch->interest &= ~(unsigned)POLLER_OUTPUT;
    return true;
}

void sse_watches_ask(struct watches *watches, const struct sse_emitter *emitter, struct poller *poller)
{
    struct watch *watch = sse_watches_find(watches, sse_emitter_descriptor(emitter));
    struct watcher *watcher = watch ? find_watcher(watch, emitter) : NULL;

    if (watcher)
        set_interest(watch->watchers, watcher, interest_of(emitter));
    sse_watches_ask_again(watches, sse_emitter_descriptor(emitter), poller);
}

/* SPDX-License-Identifier: MIT */
#include "base/deadline.h"
#include "base/host.h"
#include "fanout/registry.h"

#include <errno.h>

static int check_options(const struct sse_shutdown_options *options)
{
    if (!options || options->size != sizeof(*options) || options->drain_ms < 0)
        return -EINVAL;
    if (!options->retry_min_ms && !options->retry_max_ms)
        return 0;
    if (options->retry_min_ms < 1 || options->retry_min_ms > options->retry_max_ms ||
        options->retry_max_ms > SSE_RETRY_MAX)
        return -ERANGE;
    return 0;
}

/* A retry of its own for each client, and by the time for each process: workers that were forked alike have
 * their emitters at the same addresses. Some clients apply it only at a blank line. NULL for none. */
static struct sse_message *retry_message(const struct sse_registry *registry,
                                         const struct sse_shutdown_options *options,
                                         const struct sse_emitter *emitter, uint64_t now)
{
    uint64_t range = (uint64_t)(options->retry_max_ms - options->retry_min_ms) + 1;
    struct sse_event event = {.retry_ms = options->retry_min_ms};

    if (!options->retry_min_ms)
        return NULL;
    event.retry_ms += (int64_t)(sse_host_jitter(registry->host, now ^ (uintptr_t)emitter) % range);
    return sse_message_new_retry(event.retry_ms, registry->host);
}

/* What is queued goes first. A client for which there is no memory ends without farewell and retry. */
static void begin_to_end(struct sse_emitter *emitter, struct sse_message *farewell, struct sse_message *retry,
                         uint64_t end, uint64_t now)
{
    if (emitter->state == SSE_STATE_OPEN) {
        if (farewell)
            (void)sse_emitter_enqueue_unlimited(emitter, farewell, now);
        if (retry)
            (void)sse_emitter_enqueue_unlimited(emitter, retry, now);
        (void)sse_emitter_end(emitter, SSE_REASON_SHUTDOWN, 0, now);
        emitter->timers.end = end;
    }
    emitter->timers.end = deadline_earlier(emitter->timers.end, end);
}

static void end_emitter(struct sse_registry *registry, const struct sse_shutdown_options *options,
                        struct sse_message *farewell, struct sse_emitter *emitter, uint64_t now)
{
    struct sse_message *retry = retry_message(registry, options, emitter, now);
    bool member;

    pthread_mutex_lock(&emitter->lock);
    /* A hook may have taken it out meanwhile: then it is the host's. */
    member = emitter->owner == &registry->owner;
    if (member)
        begin_to_end(emitter, farewell, retry, deadline_after(now, duration_from_ms(options->drain_ms)), now);
    pthread_mutex_unlock(&emitter->lock);
    sse_message_unref(retry);
    if (!member)
        return;
    (void)sse_emitter_service(emitter, now);
    if (!options->drain_ms)
        sse_emitter_tick_at(emitter, now);
}

/* Nobody joins any more, and everybody who is here is on the roster. */
static int begin(struct sse_registry *registry, struct roster **everybody)
{
    int error = 0;

    *everybody = NULL;
    pthread_mutex_lock(&registry->lock);
    if (registry->shutdown.begun)
        error = -EALREADY;
    if (!error && !(*everybody = sse_roster_take(registry, registry->count)))
        error = -ENOMEM;
    for (size_t i = 0; !error && i < registry->count; i++)
        sse_roster_add(*everybody, sse_members_at(registry, i));
    if (!error)
        registry->shutdown.begun = true;
    pthread_mutex_unlock(&registry->lock);
    return error;
}

int sse_registry_shutdown(struct sse_registry *registry, const struct sse_shutdown_options *options)
{
    struct sse_message *farewell = NULL;
    struct roster *everybody;
    uint64_t now;
    int error = sse_registry_check(registry);

    if (!error)
        error = check_options(options);

    if (!error && options->farewell)
        error = sse_message_new(&farewell, options->farewell, 1, registry->host);
    if (!error)
        error = begin(registry, &everybody);
    if (!error) {
        now = sse_host_now(registry->host);
        sse_owner_hold(&registry->owner);
        for (size_t i = 0; i < everybody->count; i++)
            end_emitter(registry, options, farewell, everybody->emitters[i], now);
        sse_roster_give_back(registry, everybody);
        sse_budget_enforce(registry, now);
        sse_owner_release(&registry->owner);
    }
    sse_message_unref(farewell);
    return error;
}

int sse_registry_shutdown_report(struct sse_registry *registry, struct sse_shutdown_report *report)
{
    int error = sse_registry_check(registry);

    if (error)
        return error;
    if (!report || report->size != sizeof(*report))
        return -EINVAL;
    pthread_mutex_lock(&registry->lock);
    if (!registry->shutdown.begun)
        error = -EAGAIN;
    else
        *report = (struct sse_shutdown_report){
            .size = sizeof(*report),
            .remaining = registry->count,
            .completed = registry->shutdown.completed,
            .cut = registry->shutdown.cut,
            .bytes_left = registry->shutdown.bytes_left,
        };
    pthread_mutex_unlock(&registry->lock);
    return error;
}

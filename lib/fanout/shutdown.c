/* SPDX-License-Identifier: MIT */
#include "base/condition.h"
#include "base/deadline.h"
#include "base/options.h"
#include "base/platform.h"
#include "connection/accept.h"
#include "connection/ending.h"
#include "fanout/budget.h"
#include "fanout/members.h"

/* The oldest version of the options that is accepted: 0.2. */
#define OPTIONS_SIZE_OLDEST OPTIONS_SIZE_TO(struct sse_shutdown_options, drain_ms)

static int read_options(struct sse_shutdown_options *to, const struct sse_shutdown_options *from)
{
    if (!from || !sse_options_copy(to, sizeof(*to), from, from->size, OPTIONS_SIZE_OLDEST) ||
        to->drain_ms < 0)
        return -EINVAL;
    if (!to->retry_min_ms && !to->retry_max_ms)
        return 0;
    if (to->retry_min_ms < 1 || to->retry_min_ms > to->retry_max_ms || to->retry_max_ms > SSE_RETRY_MAX)
        return -ERANGE;
    return 0;
}

/** What a shutdown does with every emitter. */
struct farewell {
    const struct sse_shutdown_options *options;
    struct sse_message *final_event; /* NULL: none */
    uint64_t end;                    /* when the draining must have ended */
    uint64_t now;
};

/* The random bits depend on the emitter and the time. The time makes processes differ whose emitters are at the
 * same addresses, such as forked workers. Returns NULL if there is no retry. */
static struct sse_message *retry_message(const struct sse_registry *registry, const struct farewell *farewell,
                                         const struct sse_emitter *emitter)
{
    const struct sse_shutdown_options *options = farewell->options;
    uint64_t range = (uint64_t)(options->retry_max_ms - options->retry_min_ms) + 1;
    uint64_t random;

    if (!options->retry_min_ms)
        return NULL;
    random = sse_platform_jitter(registry->platform, farewell->now ^ (uintptr_t)emitter);
    return sse_message_new_retry(options->retry_min_ms + (int64_t)(random % range), registry->platform);
}

/* Queues a message before a pause, because the end drops what is behind it. */
static void queue_last(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    if (!message)
        return;
    if (emitter->paused)
        (void)sse_emitter_accept(emitter, message, now);
    else
        (void)sse_emitter_enqueue_exempt(emitter, message, now);
}

/* Ends an emitter. The final event follows what is queued already. The registry's lock held. */
static void end_emitter(struct sse_registry *registry, const struct farewell *farewell,
                        struct sse_emitter *emitter, struct mark_chain *chain)
{
    struct sse_message *retry = retry_message(registry, farewell, emitter);

    pthread_mutex_lock(&emitter->lock);
    if (emitter->state == SSE_STATE_OPEN) {
        queue_last(emitter, farewell->final_event, farewell->now);
        queue_last(emitter, retry, farewell->now);
        (void)sse_emitter_end(emitter, SSE_REASON_SHUTDOWN, 0, farewell->now);
        emitter->timers.end = farewell->end;
    }
    emitter->timers.end = deadline_earlier(emitter->timers.end, farewell->end);
    sse_members_notify(emitter, chain);
    pthread_mutex_unlock(&emitter->lock);
    sse_message_unref(retry);
}

static int begin(struct sse_registry *registry, const struct farewell *farewell)
{
    const struct audience everyone = {.registry = registry, .everyone = true};
    struct mark_chain chain = {.to_wake = NULL};
    bool begun;

    pthread_mutex_lock(&registry->lock);
    begun = registry->shutdown.begun;
    registry->shutdown.begun = true;
    for (uint32_t i = 0; !begun && i < sse_audience_count(&everyone); i++)
        end_emitter(registry, farewell, sse_audience_at(&everyone, i), &chain);
    pthread_mutex_unlock(&registry->lock);
    sse_mark_chain_finish(&chain);
    sse_budget_enforce(registry, farewell->now);
    return begun ? -EALREADY : 0;
}

int sse_registry_shutdown(struct sse_registry *registry, const struct sse_shutdown_options *options)
{
    struct sse_shutdown_options known;
    struct farewell farewell = {.options = &known};
    int cancel_state, error = sse_registry_check(registry);

    if (!error)
        error = read_options(&known, options);
    if (!error && known.final_event)
        error = sse_message_new(&farewell.final_event, known.final_event, 1, registry->platform);
    if (error)
        return error;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    farewell.now = sse_platform_now(registry->platform);
    farewell.end = deadline_after(farewell.now, duration_from_ms(known.drain_ms));
    error = begin(registry, &farewell);
    pthread_setcancelstate(cancel_state, NULL);
    sse_message_unref(farewell.final_event);
    return error;
}

int sse_registry_wait(struct sse_registry *registry, int timeout_ms)
{
    uint64_t deadline = DEADLINE_NEVER;
    int error = sse_registry_check(registry);

    if (!error && timeout_ms < -1)
        error = -EINVAL;
    if (error)
        return error;
    if (timeout_ms >= 0)
        deadline = deadline_after(sse_platform_now(NULL), duration_from_ms(timeout_ms));
    pthread_mutex_lock(&registry->lock);
    while (registry->remaining && !error) {
        if (timeout_ms >= 0 && deadline_is_due(deadline, sse_platform_now(NULL)))
            error = -ETIMEDOUT;
        else
            sse_condition_wait_until(&registry->none_remain, &registry->lock, deadline);
    }
    pthread_mutex_unlock(&registry->lock);
    return error;
}

/* SPDX-License-Identifier: MIT */
/* What each process of Apache starts with its first request and frees at its end: the registry and the loop. */
#include "mod_sse.h"

#include <http_log.h>
#include <signal.h>

#define DRAIN_MS 2000
/* Apache may still need this time when an emitter has ended. */
#define GRACE_MS 500

APLOG_USE_MODULE(sse);

struct child child = {.registry = NULL};

static void *run(void *loop)
{
    (void)sse_loop_run(loop);
    return NULL;
}

/* Blocks all signals, because Apache's own threads handle them. */
int child_start_thread(pthread_t *thread, void *(*begin)(void *user), void *user)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, begin, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static int start_loop(void)
{
    int error = sse_loop_new(&child.loop, NULL);

    if (error)
        return error;
    error = child_start_thread(&child.thread, run, child.loop);
    if (error)
        sse_loop_free(child.loop);
    return error;
}

static void stop_loop(void)
{
    (void)sse_loop_finish(child.loop);
    pthread_join(child.thread, NULL);
    sse_loop_free(child.loop);
}

void child_end_streams(struct sse_registry *registry, bool graceful)
{
    const struct sse_event final_event = {.type = sse_str("final"), .data = sse_str("")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 500,
                                                 .retry_max_ms = 2000,
                                                 .drain_ms = graceful ? DRAIN_MS : 0};

    (void)sse_registry_shutdown(registry, &options);
}

/* If the stop is not graceful, Apache has closed the connections already. A second stop may follow a graceful
 * one. */
void child_stop(apr_pool_t *pool, int graceful)
{
    (void)pool;
    if (child.registry && !child.is_prefork)
        child_end_streams(child.registry, graceful);
}

/* Apache's threads have ended. mod_http2 may still run threads of its own; then nothing may be freed. */
static apr_status_t end(void *data)
{
    (void)data;
    if (sse_registry_wait(child.registry, DRAIN_MS + GRACE_MS))
        return APR_SUCCESS;
    stop_loop();
    shared_close();
    sse_registry_unref(child.registry);
    child.registry = NULL;
    return APR_SUCCESS;
}

static int start(struct sse_registry *registry)
{
    int error = start_loop();

    if (error)
        return error;
    error = shared_open(registry);
    if (error)
        stop_loop();
    return error;
}

void child_start(apr_pool_t *pool, server_rec *server)
{
    struct sse_registry_options options = {.size = sizeof(options)};
    struct sse_registry *registry;
    int error;

    /* A ring is a history by itself. */
    if (!child.is_shared) {
        options.history.events = HISTORY_EVENTS;
        options.gap_type = sse_str("gap");
    }
    error = sse_registry_new(&registry, &options);
    if (!error && (error = start(registry)))
        sse_registry_unref(registry);
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, -error, server, "mod_sse cannot start its registry and loop");
        return;
    }
    child.registry = registry;
    /* mpm_prefork may call it in the handler of a signal. The process exits then, and that is enough. */
    if (!child.is_prefork)
        apr_pool_cleanup_register(pool, NULL, end, apr_pool_cleanup_null);
}

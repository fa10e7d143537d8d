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
static int start_loop(void)
{
    sigset_t all, before;
    int error = sse_loop_new(&child.loop, NULL);

    if (error)
        return error;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&child.thread, NULL, run, child.loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        sse_loop_free(child.loop);
    return -error;
}

/* If the stop is not graceful, Apache has closed the connections already. A second stop may follow a graceful
 * one. */
void child_stop(apr_pool_t *pool, int graceful)
{
    const struct sse_event final_event = {.type = sse_str("final"), .data = sse_str("")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 500,
                                                 .retry_max_ms = 2000,
                                                 .drain_ms = graceful ? DRAIN_MS : 0};

    (void)pool;
    if (child.registry)
        (void)sse_registry_shutdown(child.registry, &options);
}

/* Apache's threads have ended. mod_http2 may still run threads of its own; then nothing may be freed. */
static apr_status_t end(void *data)
{
    (void)data;
    if (sse_registry_wait(child.registry, DRAIN_MS + GRACE_MS))
        return APR_SUCCESS;
    (void)sse_loop_finish(child.loop);
    pthread_join(child.thread, NULL);
    sse_loop_free(child.loop);
    sse_registry_unref(child.registry);
    child.registry = NULL;
    return APR_SUCCESS;
}

void child_start(apr_pool_t *pool, server_rec *server)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = 10000}, .gap_type = sse_str("gap")};
    struct sse_registry *registry;
    int error = sse_registry_new(&registry, &options);

    if (!error && (error = start_loop()))
        sse_registry_unref(registry);
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, -error, server, "mod_sse cannot start its registry and loop");
        return;
    }
    child.registry = registry;
    apr_pool_cleanup_register(pool, NULL, end, apr_pool_cleanup_null);
}

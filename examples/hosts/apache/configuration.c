/* SPDX-License-Identifier: MIT */
/* The directives of sse.conf, and the settings of Apache that the module requires. */
#include "mod_sse.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <http_log.h>
#include <stdlib.h>

#define HEARTBEAT_MS 15000

APLOG_USE_MODULE(sse);

static const char *set_number(cmd_parms *command, void *directory, const char *text)
{
    int *number = command->info;
    char *end;
    long value = strtol(text, &end, 10);

    (void)directory;
    if (*end || value < 1 || value > 86400000)
        return "needs a number from 1 to 86400000";
    *number = (int)value;
    return ap_check_cmd_context(command, GLOBAL_ONLY);
}

const command_rec commands[] = {
    AP_INIT_TAKE1("SseStreams", set_number, &child.streams_max, RSRC_CONF,
                  "the most streams at one time; default: three quarters of ThreadsPerChild"),
    AP_INIT_TAKE1("SseHeartbeat", set_number, &child.heartbeat_ms, RSRC_CONF,
                  "milliseconds of silence before a comment is sent; default: 15000"),
    {.name = NULL}};

int set_defaults(apr_pool_t *pool, apr_pool_t *log, apr_pool_t *temporary)
{
    (void)pool, (void)log, (void)temporary;
    child.streams_max = 0;
    child.heartbeat_ms = HEARTBEAT_MS;
    return OK;
}

int check_configuration(apr_pool_t *pool, apr_pool_t *log, apr_pool_t *temporary, server_rec *server)
{
    int threaded = AP_MPMQ_NOT_SUPPORTED, threads = 0, processes = 0;

    (void)pool, (void)log, (void)temporary;
    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &processes);
    if (threaded == AP_MPMQ_NOT_SUPPORTED) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, server, "mod_sse needs mpm_event or mpm_worker; enable one");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!child.streams_max)
        child.streams_max = threads - threads / 4;
    if (child.streams_max >= threads) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, server,
                     "SseStreams %d leaves no thread of ThreadsPerChild %d to other requests",
                     child.streams_max, threads);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (processes > 1 && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "an event reaches the streams of one process, and MaxRequestWorkers allows %d",
                     processes);
    return OK;
}

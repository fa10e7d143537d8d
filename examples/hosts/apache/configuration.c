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

static const char *set_shared(cmd_parms *command, void *directory, int is_on)
{
    (void)directory;
    child.is_shared = is_on;
    return ap_check_cmd_context(command, GLOBAL_ONLY);
}

const command_rec commands[] = {
    AP_INIT_TAKE1(
        "SseStreams", set_number, &child.streams_max, RSRC_CONF,
        "the most streams of a process at one time, under mpm_prefork of all processes; default: three "
        "quarters of ThreadsPerChild, under mpm_prefork of MaxRequestWorkers"),
    AP_INIT_TAKE1("SseHeartbeat", set_number, &child.heartbeat_ms, RSRC_CONF,
                  "milliseconds of silence before a comment is sent; default: 15000"),
    AP_INIT_FLAG("SseShared", set_shared, NULL, RSRC_CONF,
                 "an event reaches the streams of all processes; default: off"),
    {.name = NULL}};

int set_defaults(apr_pool_t *pool, apr_pool_t *log, apr_pool_t *temporary)
{
    (void)pool, (void)log, (void)temporary;
    child.streams_max = 0;
    child.heartbeat_ms = HEARTBEAT_MS;
    child.is_shared = false;
    return OK;
}

static int ask_mpm(int question)
{
    int answer = 0;

    ap_mpm_query(question, &answer);
    return answer;
}

/* `most`: how many requests a process, or all processes of mpm_prefork, can serve at a time. */
static int limit_streams(server_rec *server, int most)
{
    if (!child.streams_max)
        child.streams_max = most - most / 4;
    if (child.streams_max < most)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, server, "SseStreams %d leaves no %s %d to other requests",
                 child.streams_max,
                 child.is_prefork ? "process of MaxRequestWorkers" : "thread of ThreadsPerChild", most);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int share(apr_pool_t *pool, server_rec *server)
{
    int error = shared_create(pool, ask_mpm(AP_MPMQ_HARD_LIMIT_DAEMONS));
    apr_status_t status = error ? -error : child.is_prefork ? prefork_create(pool) : APR_SUCCESS;

    if (!status)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, status, server, "SseShared: the ring cannot be made");
    return HTTP_INTERNAL_SERVER_ERROR;
}

int check_configuration(apr_pool_t *pool, apr_pool_t *log, apr_pool_t *temporary, server_rec *server)
{
    const int processes = ask_mpm(AP_MPMQ_MAX_DAEMONS);

    (void)log, (void)temporary;
    child.is_prefork = ask_mpm(AP_MPMQ_IS_THREADED) == AP_MPMQ_NOT_SUPPORTED;
    if (child.is_prefork && !child.is_shared) {
        ap_log_error(
            APLOG_MARK, APLOG_EMERG, 0, server,
            "mod_sse under mpm_prefork needs \"SseShared on\": each stream has a process of its own");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (limit_streams(server, child.is_prefork ? processes : ask_mpm(AP_MPMQ_MAX_THREADS)))
        return HTTP_INTERNAL_SERVER_ERROR;
    /* Apache reads its configuration twice when it starts. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    if (child.is_shared)
        return share(pool, server);
    if (processes > 1)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "an event reaches the streams of one process, and MaxRequestWorkers allows %d: set "
                     "SseShared on",
                     processes);
    return OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * A module of nginx: output PULL in a driven loop. Each worker has its own loop.
 *
 *     location /events { sse; }
 *     location /publish { sse_publish; }
 *
 * stream.c and worker.c are the adapter. shared.c is for several workers. Every module has the rest: directives in
 * this file, requests in requests.c.
 */
#include "module.h"
#include "requests.h"
#include "worker.h"

#include "../../origin.h"
#include "../../workers/ring.h"

#define READERS_SPARE 32

struct settings {
    ngx_int_t streams;    /* the most streams of a worker; 0: three quarters of its connections */
    ngx_int_t history;    /* events retained for clients that reconnect */
    ngx_msec_t heartbeat; /* 0: the library's default */
    ngx_flag_t shared;    /* the workers share a ring */
    bool is_used;
    struct ngx_sse_worker worker;
};

static struct settings *settings_of(const ngx_http_request_t *request)
{
    return ngx_http_get_module_main_conf(request, ngx_http_sse_module);
}

static ngx_int_t handle_events(ngx_http_request_t *request)
{
    struct settings *settings = settings_of(request);

    return ngx_sse_serve_events(&settings->worker, request, (int64_t)settings->heartbeat);
}

static ngx_int_t handle_publish(ngx_http_request_t *request)
{
    return ngx_sse_serve_publish(&settings_of(request)->worker, request);
}

/* -- directives ----------------------------------------------------------------------------- */

static char *set_handler(ngx_conf_t *conf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(conf, ngx_http_core_module);
    struct settings *settings = ngx_http_conf_get_module_main_conf(conf, ngx_http_sse_module);

    settings->is_used = true;
    location->handler = handler;
    return NGX_CONF_OK;
}

static char *set_events(ngx_conf_t *conf, ngx_command_t *command, void *unused)
{
    (void)command, (void)unused;
    return set_handler(conf, handle_events);
}

static char *set_publish(ngx_conf_t *conf, ngx_command_t *command, void *unused)
{
    (void)command, (void)unused;
    return set_handler(conf, handle_publish);
}

#define AT_LOCATION (NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS)
#define IN_HTTP (NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1)
#define FLAG_IN_HTTP (NGX_HTTP_MAIN_CONF | NGX_CONF_FLAG)

static ngx_command_t commands[] = {{ngx_string("sse"), AT_LOCATION, set_events, 0, 0, NULL},
                                   {ngx_string("sse_publish"), AT_LOCATION, set_publish, 0, 0, NULL},
                                   {ngx_string("sse_streams"), IN_HTTP, ngx_conf_set_num_slot,
                                    NGX_HTTP_MAIN_CONF_OFFSET, offsetof(struct settings, streams), NULL},
                                   {ngx_string("sse_history"), IN_HTTP, ngx_conf_set_num_slot,
                                    NGX_HTTP_MAIN_CONF_OFFSET, offsetof(struct settings, history), NULL},
                                   {ngx_string("sse_heartbeat"), IN_HTTP, ngx_conf_set_msec_slot,
                                    NGX_HTTP_MAIN_CONF_OFFSET, offsetof(struct settings, heartbeat), NULL},
                                   {ngx_string("sse_shared"), FLAG_IN_HTTP, ngx_conf_set_flag_slot,
                                    NGX_HTTP_MAIN_CONF_OFFSET, offsetof(struct settings, shared), NULL},
                                   ngx_null_command};

static void *make_settings(ngx_conf_t *conf)
{
    struct settings *settings = ngx_pcalloc(conf->pool, sizeof(*settings));

    if (!settings)
        return NULL;
    settings->streams = NGX_CONF_UNSET;
    settings->history = NGX_CONF_UNSET;
    settings->heartbeat = NGX_CONF_UNSET_MSEC;
    settings->shared = NGX_CONF_UNSET;
    return settings;
}

/* Made in the master before it starts workers. A reload keeps the ring, because old workers still use it and
 * clients reconnect with its ids. */
static struct ring *ring;

/* A place for each worker, before and after a reload, and some for those that still end. */
static size_t count_readers(const ngx_conf_t *conf)
{
    const ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(conf->cycle->conf_ctx, ngx_core_module);
    const ngx_int_t workers = core->worker_processes > ngx_ncpu ? core->worker_processes : ngx_ncpu;

    return 2 * (size_t)workers + READERS_SPARE;
}

static char *make_ring(ngx_conf_t *conf, const struct settings *settings)
{
    const struct ring_options options = {.events = (size_t)settings->history,
                                         .event_bytes = NGX_SSE_QUEUE_BYTES,
                                         .readers = count_readers(conf)};
    int error = ring ? 0 : ring_create(&ring, &options);

    if (!error)
        return NGX_CONF_OK;
    ngx_conf_log_error(NGX_LOG_EMERG, conf, -error, "sse_shared: the ring in shared memory could not be made");
    return NGX_CONF_ERROR;
}

static char *complete_settings(ngx_conf_t *conf, void *made)
{
    struct settings *settings = made;

    ngx_conf_init_value(settings->streams, 0);
    ngx_conf_init_value(settings->history, 10000);
    ngx_conf_init_msec_value(settings->heartbeat, 0);
    ngx_conf_init_value(settings->shared, 0);
    return settings->shared ? make_ring(conf, settings) : NGX_CONF_OK;
}

static void *make_rules(ngx_conf_t *conf)
{
    return ngx_pcalloc(conf->pool, sizeof(struct origin_rules));
}

/* Copies the plain names of server_name, because nginx discards its own list after it has read the
 * configuration. */
static char *complete_rules(ngx_conf_t *conf, void *parent, void *made)
{
    const ngx_http_core_srv_conf_t *server = ngx_http_conf_get_module_srv_conf(conf, ngx_http_core_module);
    const ngx_http_server_name_t *elements = server->server_names.elts;
    const size_t count = server->server_names.nelts;
    struct sse_text *names = ngx_pcalloc(conf->pool, (count + 1) * sizeof(*names));
    struct origin_rules *rules = made;

    (void)parent;
    if (!names)
        return NGX_CONF_ERROR;
    for (size_t i = 0; i < count; i++)
        names[i] = (struct sse_text){(const char *)elements[i].name.data, elements[i].name.len};
    rules->names = names;
    rules->name_count = count;
    return NGX_CONF_OK;
}

/* -- processes ------------------------------------------------------------------------------ */

static struct settings *settings_in(ngx_cycle_t *cycle)
{
    struct settings *settings = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sse_module);

    return settings && settings->is_used ? settings : NULL;
}

static ngx_int_t check_workers(ngx_cycle_t *cycle)
{
    const struct settings *settings = settings_in(cycle);
    const ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (settings && !settings->shared && core->worker_processes > 1)
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "sse: an event reaches the streams of one worker only: set worker_processes to 1, or "
                      "sse_shared on");
    return NGX_OK;
}

/* nginx also calls it in its cache manager, which serves no requests. */
static ngx_int_t start_worker(ngx_cycle_t *cycle)
{
    struct settings *settings = settings_in(cycle);
    struct sse_registry_options options = {.size = sizeof(options)};

    if (!settings || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE))
        return NGX_OK;
    /* The ring itself is the history. */
    if (!settings->shared) {
        options.history.events = (size_t)settings->history;
        options.gap_type = sse_str("gap");
    }
    /* A stream uses one connection, so some must stay free for other requests. */
    options.emitters_max = settings->streams ? (size_t)settings->streams : cycle->connection_n / 4 * 3;
    return ngx_sse_open_worker(&settings->worker, &options, settings->shared ? ring : NULL, cycle);
}

static void free_ring(ngx_cycle_t *cycle)
{
    (void)cycle;
    ring_free(ring);
    ring = NULL;
}

static void stop_worker(ngx_cycle_t *cycle)
{
    struct settings *settings = settings_in(cycle);

    if (settings && settings->worker.loop)
        ngx_sse_close_worker(&settings->worker);
    free_ring(cycle);
}

static ngx_http_module_t context = {.create_main_conf = make_settings,
                                    .init_main_conf = complete_settings,
                                    .create_srv_conf = make_rules,
                                    .merge_srv_conf = complete_rules};

ngx_module_t ngx_http_sse_module = {NGX_MODULE_V1, &context,      commands,     NGX_HTTP_MODULE,
                                    NULL,          check_workers, start_worker, NULL,
                                    NULL,          stop_worker,   free_ring,    NGX_MODULE_V1_PADDING};

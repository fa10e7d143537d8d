/* SPDX-License-Identifier: MIT */
/*
 * The contract of serving.h on libwebsockets, written like its own examples of server-sent events: a list of
 * sessions, a request for a writable callback of each, and one lws_write in it. Unlike there, a frame is made once,
 * without lws_ring, because a session that consumes the oldest message makes the ring check all sessions. The next
 * event is made when the last writable callback for the one before is done.
 */
#include "../serving.h"

#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define FILES_MAX 20000
#define SIZE_MAX_OF_DATA 65536

struct session {
    struct session *next;
    struct lws *wsi;
    bool listed;
    bool waiting; /* has not received the frame yet */
};

static struct {
    struct session *sessions;
    size_t waiting;
    unsigned long left; /* events that have not been published yet */
    unsigned long data_size;
    size_t frame_size;
    unsigned char frame[LWS_PRE + SIZE_MAX_OF_DATA + 8];
} server;

static volatile sig_atomic_t stopping;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static void make_frame(void)
{
    char *at = (char *)server.frame + LWS_PRE;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    memcpy(at, "data: ", 6);
    snprintf(at + 6, STAMP_DIGITS + 1, "%010lld%09ld", (long long)now.tv_sec, now.tv_nsec);
    memset(at + 6 + STAMP_DIGITS, 'x', server.data_size - STAMP_DIGITS);
    memcpy(at + 6 + server.data_size, "\n\n", 2);
    server.frame_size = server.data_size + 8;
}

static void publish_next(void)
{
    if (!server.left || server.waiting || !server.sessions)
        return;
    server.left--;
    make_frame();
    for (struct session *session = server.sessions; session; session = session->next) {
        session->waiting = true;
        server.waiting++;
        lws_callback_on_writable(session->wsi);
    }
}

static unsigned long argument(struct lws *wsi, const char *name)
{
    char text[32];
    const char *value = lws_get_urlarg_by_name(wsi, name, text, sizeof(text));

    return value ? strtoul(value, NULL, 10) : 0;
}

static int send_head(struct lws *wsi, unsigned status, const char *type, lws_filepos_t size)
{
    unsigned char buffer[LWS_PRE + LWS_RECOMMENDED_MIN_HEADER_SPACE];
    unsigned char *begin = buffer + LWS_PRE;
    unsigned char *end = buffer + sizeof(buffer) - 1;
    unsigned char *at = begin;

    if (lws_add_http_common_headers(wsi, status, type, size, &at, end))
        return -1;
    return lws_finalize_write_http_header(wsi, begin, &at, end) ? -1 : 0;
}

static int start(struct lws *wsi)
{
    server.data_size = argument(wsi, "size=");
    server.left = argument(wsi, "n=");
    if (server.data_size < STAMP_DIGITS || server.data_size > SIZE_MAX_OF_DATA)
        server.left = 0;
    if (send_head(wsi, HTTP_STATUS_NO_CONTENT, "text/plain", 0))
        return -1;
    publish_next();
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int open_stream(struct lws *wsi, struct session *session)
{
    if (send_head(wsi, HTTP_STATUS_OK, "text/event-stream", LWS_ILLEGAL_HTTP_CONTENT_LEN))
        return -1;
    *session = (struct session){.next = server.sessions, .wsi = wsi, .listed = true};
    server.sessions = session;
    lws_http_headers_detach(wsi);
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    return 0;
}

static void handed(struct session *session)
{
    if (!session->waiting)
        return;
    session->waiting = false;
    server.waiting--;
    publish_next();
}

static int write_frame(struct session *session)
{
    int size = (int)server.frame_size;

    if (!session->waiting)
        return 0;
    if (lws_write(session->wsi, server.frame + LWS_PRE, server.frame_size, LWS_WRITE_HTTP) != size)
        return -1;
    handed(session);
    return 0;
}

static void close_stream(struct session *session)
{
    struct session **link = &server.sessions;

    while (*link && *link != session)
        link = &(*link)->next;
    if (*link)
        *link = session->next;
    session->listed = false;
    handed(session);
}

static int handle(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    struct session *session = user;

    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return strcmp(in, "/events") ? start(wsi) : open_stream(wsi, session);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return session && session->listed ? write_frame(session) : 0;
    case LWS_CALLBACK_CLOSED_HTTP:
        if (session && session->listed)
            close_stream(session);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, size);
    }
}

/* The library reserves memory for the maximum number of files. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
    static const struct lws_protocols protocols[] = {
        {.name = "http", .callback = handle, .per_session_data_size = sizeof(struct session)},
        {.name = NULL}};
    struct lws_context_creation_info info = {.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS};
    struct sigaction action = {.sa_handler = stop};
    struct lws_context *context;
    struct lws_vhost *vhost;

    raise_file_limit();
    sigaction(SIGTERM, &action, NULL);
    lws_set_log_level(LLL_ERR, NULL);
    context = lws_create_context(&info);
    if (!context)
        return 1;
    info.port = 0;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    vhost = lws_create_vhost(context, &info);
    if (!vhost)
        return 1;
    printf("%d\n", lws_get_vhost_listen_port(vhost));
    fflush(stdout);
    while (!stopping && lws_service(context, 0) >= 0)
        ;
    lws_context_destroy(context);
    return 0;
}

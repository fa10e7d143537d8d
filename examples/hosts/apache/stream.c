/* SPDX-License-Identifier: MIT */
/* GET: streams the events of the topics in the query. Apache's thread of this request serves the stream. */
#include "mod_sse.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

APLOG_USE_MODULE(sse);

/* -- the adapter ---------------------------------------------------------------------------- */

#define PIECES 16
#define STALL_MS 30000
/* If a client ends its stream of HTTP/2, no socket is closed. mod_http2 only sets a flag, which must be polled. */
#define LOOK_MS 1000

static void release_stream(void *user)
{
    close((int)(intptr_t)user);
}

/* The thread may be blocked in a write to a client that reads nothing. Then the other streams of this HTTP/2
 * connection end too, and their clients reconnect. But if only the client has closed its stream, the connection
 * stays open. */
static void break_connection(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    if (completion->error && completion->reason != SSE_REASON_DISCONNECTED)
        shutdown((int)(intptr_t)user, SHUT_RDWR);
}

/* A duplicate, because a stopping Apache closes its sockets while threads still use them. */
static int duplicate_socket(const request_rec *r)
{
    const unsigned stall_ms = STALL_MS;
    conn_rec *master = r->connection->master;
    apr_os_sock_t number;
    int socket = -1;

    if (!apr_os_sock_get(&number, ap_get_conn_socket(master ? master : r->connection)))
        socket = fcntl(number, F_DUPFD_CLOEXEC, 3);
    /* Without this time limit, a client whose network has vanished would occupy the thread for about 15 minutes. */
    if (socket >= 0)
        (void)setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof(stall_ms));
    return socket;
}

static int open_stream(struct sse_emitter **emitter, struct sse_emitter_options options, const request_rec *r)
{
    const int socket = duplicate_socket(r);
    int error;

    if (socket < 0)
        return -ENOMEM;
    options.output = SSE_OUTPUT_PULL;
    options.loop = child.loop;
    options.watch_fd = socket;
    options.stall_ms = STALL_MS;
    options.on_completion = break_connection;
    options.on_release = release_stream;
    options.user = (void *)(intptr_t)socket;
    error = shared_new_emitter(emitter, &options);
    if (error)
        close(socket);
    return error;
}

/* Only these variables stop mod_deflate and mod_brotli. They ignore `identity` and `no-transform` in the head. */
static void write_head(request_rec *r)
{
    struct sse_http_header headers[8];
    ssize_t count = sse_http_headers(headers, 8, NULL);

    for (ssize_t i = 0; i < count; i++)
        if (!strcmp(headers[i].name.ptr, "content-type"))
            ap_set_content_type(r, headers[i].value.ptr);
        else
            apr_table_setn(r->headers_out, headers[i].name.ptr, headers[i].value.ptr);
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
}

static bool write_pieces(request_rec *r, const struct iovec *pieces, int count)
{
    for (int i = 0; i < count; i++)
        if (ap_rwrite(pieces[i].iov_base, (int)pieces[i].iov_len, r) < 0)
            return false;
    return ap_rflush(r) >= 0;
}

static size_t size_of(const struct iovec *pieces, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

/* Returns when either side has ended the stream. If the end was not graceful, Apache must abort the response. */
static void write_stream(request_rec *r, struct sse_emitter *emitter)
{
    const int timeout_ms = r->connection->master ? LOOK_MS : -1;
    struct iovec pieces[PIECES];
    int result;

    while ((result = sse_emitter_wait(emitter, timeout_ms)) >= 0) {
        int count = result ? sse_emitter_peek(emitter, pieces, PIECES) : 0;

        if (r->connection->aborted || (count > 0 && !write_pieces(r, pieces, count)))
            (void)sse_emitter_abort(emitter, -ECONNRESET);
        else if (count > 0)
            (void)sse_emitter_consume(emitter, size_of(pieces, count));
    }
    if (result != SSE_ENDED)
        r->connection->aborted = 1;
}

/* -- the server ----------------------------------------------------------------------------- */

#define TOPICS_MAX 16
#define RETRY_SECONDS "10"

struct query {
    struct sse_text topics[TOPICS_MAX];
    size_t count;
    char id[SSE_ASSIGNED_ID_SIZE];
    size_t id_size;
};

/* Counts threads, not emitters, because a thread may still be in a write when its emitter has ended. */
static bool take_thread(void)
{
    if (child.is_prefork)
        return prefork_take_place();
    if (atomic_fetch_add(&child.streams, 1) < child.streams_max)
        return true;
    atomic_fetch_sub(&child.streams, 1);
    return false;
}

static void leave_thread(void)
{
    if (child.is_prefork)
        prefork_leave_place();
    else
        atomic_fetch_sub(&child.streams, 1);
}

/* Returns the size of the topic, or 0 if there are not that many topics. */
static ssize_t read_topic(request_rec *r, size_t index, struct sse_text *topic)
{
    const struct sse_text encoded = sse_str(r->args);
    ssize_t size = sse_http_parameter(encoded, "topic", index, NULL, 0);
    char *bytes;

    if (size == -ENOENT)
        return 0;
    if (size <= 0 || size > SSE_TOPIC_SIZE_MAX)
        return -EBADMSG;
    bytes = apr_palloc(r->pool, (apr_size_t)size);
    *topic = (struct sse_text){bytes, (size_t)size};
    return sse_http_parameter(encoded, "topic", index, bytes, (size_t)size);
}

static int read_query(request_rec *r, struct query *query)
{
    struct sse_text topic;
    ssize_t size;

    query->id_size = (size_t)sse_http_last_event_id(sse_str(apr_table_get(r->headers_in, "Last-Event-ID")),
                                                    sse_str(r->args), query->id, sizeof(query->id));
    for (query->count = 0; (size = read_topic(r, query->count, &topic)) > 0; query->count++) {
        if (query->count == TOPICS_MAX)
            return -EBADMSG;
        query->topics[query->count] = topic;
    }
    return size || !query->count ? -EBADMSG : 0;
}

static struct sse_emitter_options options_for(const struct query *query)
{
    return (struct sse_emitter_options){.size = sizeof(struct sse_emitter_options),
                                        .registry = child.registry,
                                        .topics = query->topics,
                                        .topic_count = query->count,
                                        .last_event_id = {query->id, query->id_size},
                                        .heartbeat_ms = child.heartbeat_ms,
                                        .queue_bytes = QUEUE_BYTES};
}

/* EventSource gives up at any status but 200. Retry-After is for other clients. */
static int refuse(request_rec *r, int error)
{
    struct sse_http_refusal refusal;
    uint64_t random;

    ap_random_insecure_bytes(&random, sizeof(random));
    if (sse_http_get_refusal(&refusal, error, random) || refusal.status != 200)
        return refusal.status;
    ap_set_content_type(r, "text/event-stream");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "Retry-After", RETRY_SECONDS);
    ap_set_content_length(r, (apr_off_t)refusal.body_size);
    (void)ap_rwrite(refusal.body, (int)refusal.body_size, r);
    return OK;
}

static int serve(request_rec *r, const struct query *query)
{
    struct sse_emitter_info info;
    struct sse_emitter *emitter;
    int error = prefork_is_ending() ? -ECONNREFUSED : take_thread() ? 0 : -EAGAIN;

    if (error)
        return refuse(r, error);
    error = open_stream(&emitter, options_for(query), r);
    if (error) {
        leave_thread();
        return refuse(r, error);
    }
    write_head(r);
    write_stream(r, emitter);
    (void)sse_emitter_get_info(emitter, &info, sizeof(info));
    sse_emitter_close(emitter);
    leave_thread();
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "ended: reason %d (%s), %" APR_UINT64_T_FMT " events",
                  info.reason, sse_reason_name(info.reason), (apr_uint64_t)info.events);
    return OK;
}

static int answer(request_rec *r, const struct query *query)
{
    sigset_t before;
    int status;

    if (r->header_only) {
        write_head(r);
        return OK;
    }
    prefork_hold_signals(&before);
    status = serve(r, query);
    prefork_release_signals(&before);
    return status;
}

int stream_handle(request_rec *r)
{
    struct query query;

    if (!r->handler || strcmp(r->handler, "sse"))
        return DECLINED;
    ap_allow_methods(r, REPLACE_ALLOW, "GET", NULL);
    if (r->method_number != M_GET)
        return HTTP_METHOD_NOT_ALLOWED;
    if (!page_may_act(r))
        return HTTP_FORBIDDEN;
    if (!child.registry)
        return HTTP_SERVICE_UNAVAILABLE;
    if (read_query(r, &query))
        return HTTP_BAD_REQUEST;
    return answer(r, &query);
}

/* SPDX-License-Identifier: MIT */
/*
 * A CGI program, or a service of inetd. Each stream is a process, and processes cannot publish to each other's
 * streams. So they share files: each stream follows DIRECTORY/TOPIC.log, and every line that any program adds to
 * this file becomes an event. The id of an event is a place in the file, so a client that reconnects misses
 * nothing.
 *
 *     host_cgi [--name NAME]... DIRECTORY [HEARTBEAT_MS]
 *
 *     GET  /events?topic=T     the lines that are added to DIRECTORY/T.log, after Last-Event-ID or from now on
 *     POST /publish?topic=T    adds the body to this file; 202
 *
 * Without server.stream-response-body, lighttpd sends nothing before the response ends:
 *
 *     server.modules += ( "mod_alias", "mod_cgi" )
 *     server.stream-response-body = 2
 *     alias.url = ( "/logs" => "/usr/local/bin/logs" )       # a script: exec host_cgi /var/log/app
 *     cgi.assign = ( "/usr/local/bin/logs" => "" )
 *
 * inetd.conf: 8080 stream tcp nowait nobody /usr/local/bin/host_cgi host_cgi /var/log/app
 */
#include "cgi_request.h"
#include "log_file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* -- the adapter ---------------------------------------------------------------------------- */

/* The file is checked this often. inotify would be faster, but each stream would take one of the 128 instances that
 * each user may have. */
#define LOOK_MS 200
/* Each slow client reads the file at its own speed, so little has to be queued in memory. */
#define QUEUE_BYTES ((size_t)256 << 10)
#define TURN_LINES 64

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* A log may contain any bytes, but an event must be UTF-8. */
static int send_line(struct sse_emitter *emitter, struct sse_text line, const char *id)
{
    static char ascii[LOG_LINE_SIZE_MAX];
    int error = sse_emitter_send(emitter, &(struct sse_event){.data = line, .id = sse_str(id)});

    if (error != -EILSEQ)
        return error;
    for (size_t i = 0; i < line.len; i++)
        ascii[i] = (unsigned char)line.ptr[i] < 128 ? line.ptr[i] : '?';
    return sse_emitter_send(emitter, &(struct sse_event){.data = {ascii, line.len}, .id = sse_str(id)});
}

static int send_gap(struct sse_emitter *emitter, const char *id)
{
    return sse_emitter_send(
        emitter, &(struct sse_event){.type = sse_str("gap"), .data = sse_str(""), .id = sse_str(id)});
}

/* Reads the file as far as the queue has room. Returns true if there is more. */
static bool send_lines(struct sse_emitter *emitter, struct log_file *log)
{
    int result = LOG_LINE;
    int error = 0;

    for (int count = 0; count < TURN_LINES && result != LOG_NOTHING; count++) {
        struct sse_emitter_info info = {0};
        char id[LOG_ID_SIZE];
        struct sse_text line;

        (void)sse_emitter_get_info(emitter, &info, sizeof(info));
        result = info.queued_bytes < QUEUE_BYTES ? log_read(log, &line) : LOG_NOTHING;
        log_id(log, id);
        if (result > 0)
            error = result == LOG_GAP ? send_gap(emitter, id) : send_line(emitter, line, id);
        if (result < 0 || error) {
            (void)sse_emitter_abort(emitter, result < 0 ? result : error);
            return false;
        }
    }
    return result != LOG_NOTHING;
}

/* An event with only an id. A client that reconnects before the first line has come then misses nothing. */
static int begin(struct sse_emitter *emitter, struct log_file *log, struct sse_text last_event_id)
{
    const bool known = !last_event_id.len || log_seek(log, last_event_id);
    char id[LOG_ID_SIZE];

    log_id(log, id);
    return known ? sse_emitter_send(emitter, &(struct sse_event){.id = sse_str(id)}) : send_gap(emitter, id);
}

static void end(struct sse_emitter *emitter)
{
    const struct sse_event final_event = {
        .type = sse_str("final"), .data = sse_str(""), .retry_ms = 500 + (int64_t)(service_random() % 1500)};

    (void)sse_emitter_send(emitter, &final_event);
    (void)sse_emitter_complete(emitter);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    bool *ended = user;

    (void)emitter;
    *ended = true;
    service_report(completion);
}

/* The loop writes, runs the timers and notices a disconnect. */
static int stream(struct sse_emitter_options options, struct log_file *log, struct sse_text last_event_id)
{
    bool ended = false;
    struct sse_emitter *emitter;
    int error = sse_loop_new(&options.loop, NULL);

    if (error)
        return error;
    options.output = SSE_OUTPUT_FD;
    options.on_completion = on_completion;
    options.user = &ended;
    error = sse_emitter_new(&emitter, &options, NULL);
    if (!error) {
        (void)begin(emitter, log, last_event_id);
        while (!ended && !stopped)
            (void)sse_loop_dispatch(options.loop, send_lines(emitter, log) ? 0 : LOOK_MS);
        end(emitter);
        sse_emitter_close(emitter);
        /* Runs until everything is written. */
        (void)sse_loop_finish(options.loop);
        (void)sse_loop_run(options.loop);
    }
    sse_loop_free(options.loop);
    return error;
}

/* -- the program ---------------------------------------------------------------------------- */

static void answer_with_stream(const struct cgi_request *cgi, const char *directory, int64_t heartbeat_ms)
{
    static struct log_file log;
    const struct service_query *query = &cgi->request.query;
    const struct sse_emitter_options options = {
        .size = sizeof(options), .fd = cgi->fd, .http = &cgi->http, .heartbeat_ms = heartbeat_ms};
    int error = log_open(&log, directory, query->topic);

    if (!error)
        error = stream(options, &log, query->last_event_id);
    if (error)
        cgi_refuse(cgi, error);
    log_close(&log);
}

static int publish(const struct request *request, const char *directory)
{
    struct sse_text lines = {request->body.data, request->body.size};
    int error;

    if (lines.len && lines.ptr[lines.len - 1] == '\n')
        lines.len--;
    if (lines.len && sse_event_encode(&(struct sse_event){.data = lines}, NULL, 0) < 0)
        return 400;
    error = log_append(directory, request->query.topic, lines);
    return !error ? 202 : error == -EBADMSG ? 400 : 503;
}

int main(int argc, char **argv)
{
    const struct sigaction on_end = {.sa_handler = on_signal};
    static struct cgi_request cgi;
    static struct service service;
    const int names = service_read_names(&service, argc, argv);
    int status;

    argc -= names;
    argv += names;
    if (argc < 2) {
        fprintf(stderr, "usage: host_cgi [--name NAME]... DIRECTORY [HEARTBEAT_MS]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &on_end, NULL);
    status = cgi_read_request(&cgi, &service);
    if (status == SERVICE_STREAM)
        answer_with_stream(&cgi, argv[1], argc > 2 ? atoi(argv[2]) : 15000);
    else
        cgi_answer(&cgi, status == SERVICE_PUBLISH ? publish(&cgi.request, argv[1]) : status);
    cgi_free_request(&cgi);
    return 0;
}

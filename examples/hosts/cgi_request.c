/* SPDX-License-Identifier: MIT */
#include "cgi_request.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MS 10000
#define LINGER_MS 1000

/* Reads without waiting longer than that. 0: the end. -1: nothing came, or an error. */
static ssize_t read_until(int64_t deadline, void *buffer, size_t size)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left = deadline - service_now_ms();
    int ready;

    do {
        ready = left > 0 ? poll(&input, 1, (int)left) : 0;
        left = deadline - service_now_ms();
    } while (ready < 0 && errno == EINTR);
    return ready == 1 ? read(STDIN_FILENO, buffer, size) : -1;
}

/* -- CGI ------------------------------------------------------------------------------------ */

static int read_body(struct request *request)
{
    const int64_t deadline = service_now_ms() + REQUEST_MS;
    const char *length = getenv("CONTENT_LENGTH");
    /* The variable is absent or empty if there is no body. */
    const bool has_body = length && *length;
    /* Apache passes a body in chunks on without its length, so nothing says whether it has come whole. */
    const bool has_no_length = !has_body && getenv("HTTP_TRANSFER_ENCODING");
    int status = has_no_length ? 411 : body_check_framing(has_body ? length : NULL, 1, NULL);
    size_t left = !status && has_body ? strtoul(length, NULL, 10) : 0;
    char bytes[4096];

    while (left && !status) {
        ssize_t size = read_until(deadline, bytes, left < sizeof(bytes) ? left : sizeof(bytes));

        /* An incomplete body must not become an event. */
        status = size > 0 ? body_append(&request->body, &request->service->bodies, bytes, (size_t)size) : 400;
        left -= size > 0 ? (size_t)size : 0;
    }
    return status;
}

static int read_environment(struct cgi_request *cgi)
{
    struct request *request = &cgi->request;
    const struct origin_request page = {.host = sse_str(getenv("HTTP_HOST")),
                                        .origin = sse_str(getenv("HTTP_ORIGIN")),
                                        .fetch_site = sse_str(getenv("HTTP_SEC_FETCH_SITE"))};
    const int route = service_route(request->service, sse_str(getenv("REQUEST_METHOD")),
                                    sse_str(getenv("PATH_INFO")), &page);
    int status;

    cgi->http = (struct sse_http_options){.size = sizeof(cgi->http), .version = SSE_HTTP_CGI};
    service_read_query(&request->query, sse_str(getenv("QUERY_STRING")),
                       sse_str(getenv("HTTP_LAST_EVENT_ID")));
    status = route == SERVICE_PUBLISH ? read_body(request) : 0;
    return status ? status : route;
}

/* -- inetd ---------------------------------------------------------------------------------- */

/* inetd makes the connection standard error too, so messages would reach the client. */
static void keep_off_connection(void)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
    if (nowhere >= 0)
        close(nowhere);
}

static void send_bytes(int fd, const char *bytes, size_t size)
{
    ssize_t written = write(fd, bytes, size);

    (void)written;
}

static int read_connection(struct cgi_request *cgi)
{
    const int64_t deadline = service_now_ms() + REQUEST_MS;
    enum request_progress progress = REQUEST_MORE;
    char bytes[4096];

    keep_off_connection();
    while (progress != REQUEST_DECIDED) {
        ssize_t size = read_until(deadline, bytes, sizeof(bytes));

        if (size <= 0) {
            cgi->http = request_http_options(&cgi->request);
            return size ? 408 : 400;
        }
        progress = request_read(&cgi->request, bytes, (size_t)size);
        if (progress == REQUEST_CONTINUE)
            send_bytes(cgi->fd, request_continue, strlen(request_continue));
    }
    cgi->http = request_http_options(&cgi->request);
    return cgi->request.status;
}

int cgi_read_request(struct cgi_request *cgi, struct service *service)
{
    request_init(&cgi->request, service);
    cgi->fd = STDOUT_FILENO;
    return getenv("GATEWAY_INTERFACE") ? read_environment(cgi) : read_connection(cgi);
}

void cgi_free_request(struct cgi_request *cgi)
{
    request_free(&cgi->request);
}

/* -- responses ------------------------------------------------------------------------------ */

static bool is_cgi(const struct cgi_request *cgi)
{
    return cgi->http.version == SSE_HTTP_CGI;
}

/* Waits, because closing a connection whose client is still sending resets it, and the client may lose the
 * answer. */
static void linger(void)
{
    const int64_t deadline = service_now_ms() + LINGER_MS;
    char rest[4096];

    shutdown(STDOUT_FILENO, SHUT_WR);
    while (read_until(deadline, rest, sizeof(rest)) > 0)
        ;
}

static void send_answer(const struct cgi_request *cgi, const char *answer, ssize_t size)
{
    if (size > 0 && size <= REQUEST_ANSWER_SIZE)
        send_bytes(cgi->fd, answer, (size_t)size);
    if (!is_cgi(cgi))
        linger();
}

void cgi_answer(const struct cgi_request *cgi, int status)
{
    char answer[REQUEST_ANSWER_SIZE];
    ssize_t size;

    if (status == SERVICE_HEAD)
        size = sse_http_head(answer, sizeof(answer), &cgi->http);
    else if (is_cgi(cgi))
        size = snprintf(answer, sizeof(answer), "Status: %d %s\r\n%sContent-Length: 0\r\n\r\n", status,
                        http_status_str((enum http_status)status),
                        service_allow_line(status, sse_str(getenv("PATH_INFO"))));
    else
        size = (ssize_t)request_answer(&cgi->request, answer, status);
    send_answer(cgi, answer, size);
}

void cgi_refuse(const struct cgi_request *cgi, int error)
{
    char answer[REQUEST_ANSWER_SIZE];

    send_answer(cgi, answer, sse_http_refuse(answer, sizeof(answer), error, &cgi->http, service_random()));
}

/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_CGI_REQUEST_H
#define HOSTS_CGI_REQUEST_H

/** The one request of a process that a web server (CGI) or inetd has started. */

#include "request.h"

struct cgi_request {
    struct request request;       /**< its query and its body */
    struct sse_http_options http; /**< what the head of the response looks like */
    int fd;                       /**< where the response goes */
};

/**
 * Reads the request: from the environment and standard input, or, if no web server has started the program, from
 * the connection on standard input. Returns SERVICE_STREAM, SERVICE_HEAD, SERVICE_PUBLISH, or a status to refuse
 * the request with. `service` needs only its names.
 */
int cgi_read_request(struct cgi_request *request, struct service *service);
void cgi_free_request(struct cgi_request *request);

/** Answers without a body. `status` may be SERVICE_HEAD. */
void cgi_answer(const struct cgi_request *request, int status);
/** Answers when sse_emitter_new has returned an error. */
void cgi_refuse(const struct cgi_request *request, int error);

#endif

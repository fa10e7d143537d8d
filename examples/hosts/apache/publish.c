/* SPDX-License-Identifier: MIT */
/* POST: publishes the body as the data of an event. The topic is in the query. */
#include "mod_sse.h"

#include "../body.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

/* Returns OK, or the status to answer with. Apache itself refuses a length that it cannot read. */
static int read_body(request_rec *r, struct body *body)
{
    char bytes[8192];
    long size = 0;
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);

    if (status || !ap_should_client_block(r))
        return status;
    while (!status && (size = ap_get_client_block(r, bytes, sizeof(bytes))) > 0)
        status = body_append(body, &child.bodies, bytes, (size_t)size);
    return status || !size ? status : HTTP_BAD_REQUEST;
}

/* -EMSGSIZE: the event is larger than the queue of a client. */
static int status_of(int error)
{
    switch (error) {
    case 0:
        return HTTP_ACCEPTED;
    case -EMSGSIZE:
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    case -ENOMEM:
    case -ETIMEDOUT:
        return HTTP_SERVICE_UNAVAILABLE;
    default:
        return HTTP_BAD_REQUEST;
    }
}

static int publish(request_rec *r)
{
    char topic[SSE_TOPIC_SIZE_MAX];
    ssize_t size = sse_http_parameter(sse_str(r->args), "topic", 0, topic, sizeof(topic));
    struct body body = {0};
    int status = read_body(r, &body);

    if (!status && (size <= 0 || size > SSE_TOPIC_SIZE_MAX))
        status = HTTP_BAD_REQUEST;
    if (!status)
        status =
            status_of(shared_publish((struct sse_text){topic, (size_t)size},
                                     &(struct sse_event){.data = {body.data ? body.data : "", body.size}}));
    body_free(&body, &child.bodies);
    return status;
}

int publish_handle(request_rec *r)
{
    int status;

    if (!r->handler || strcmp(r->handler, "sse-publish"))
        return DECLINED;
    ap_allow_methods(r, REPLACE_ALLOW, "POST", NULL);
    if (r->method_number != M_POST)
        return HTTP_METHOD_NOT_ALLOWED;
    if (!page_may_act(r))
        return HTTP_FORBIDDEN;
    if (!child.registry)
        return HTTP_SERVICE_UNAVAILABLE;
    status = publish(r);
    if (status != HTTP_ACCEPTED)
        return status;
    r->status = status;
    ap_set_content_length(r, 0);
    return OK;
}

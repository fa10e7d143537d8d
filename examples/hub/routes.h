/* SPDX-License-Identifier: MIT */
#ifndef HUB_ROUTES_H
#define HUB_ROUTES_H

/** Decides which request gets which answer. */

#include "hub.h"
#include "request.h"
#include "response.h"

enum route_action {
    ROUTE_RESPOND, /**< the response is filled in */
    ROUTE_BODY,    /**< read the body first, then call publish_event */
    ROUTE_STREAM   /**< the connection becomes a stream */
};

/** Whether a stream is at this path. */
bool routes_has_stream(struct sse_text path);

/** Decides by the head of the request. */
enum route_action routes_take_head(struct hub *hub, const struct request *request, struct response *response);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HUB_PUBLISH_H
#define HUB_PUBLISH_H

/** POST /publish and POST /complete. */

#include "hub.h"
#include "request.h"
#include "response.h"

/** Publishes the event of the query and the body. */
void publish_event(struct hub *hub, const struct request *request, struct sse_text body,
                   struct response *response);

/** The answer to an event that does not fit into a queue. */
void publish_refuse_size(struct response *response);

/** Completes the streams of a topic, or all streams. */
void publish_complete(struct hub *hub, const struct request *request, struct response *response);

#endif

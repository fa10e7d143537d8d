/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "../origin.h"
#include "ascii.h"
#include "page.h"
#include "publish.h"
#include "stream.h"

static const char scheme[] = "Bearer ";

typedef enum route_action route_handler(struct hub *hub, const struct request *request,
                                        struct response *response);

struct route {
    const char *path;
    const char *allow;
    route_handler *get; /* and HEAD */
    route_handler *post;
    bool open_to_all; /* open to pages of every origin, and by every name */
    bool needs_token; /* needs the token, if there is one; so does every POST */
};

static enum route_action get_page(struct hub *hub, const struct request *request, struct response *response)
{
    (void)hub;
    (void)request;
    response->status = 200;
    response->content_type = "text/html; charset=utf-8";
    buffer_append(&response->body, hub_page, hub_page_size);
    buffer_format(&response->headers, "Content-Security-Policy: %s\r\n", hub_page_content_security_policy);
    return ROUTE_RESPOND;
}

static enum route_action get_events(struct hub *hub, const struct request *request, struct response *response)
{
    if (ascii_equals(request->method, "GET"))
        return ROUTE_STREAM;
    stream_describe(hub, request, response);
    return ROUTE_RESPOND;
}

static enum route_action get_statistics(struct hub *hub, const struct request *request,
                                        struct response *response)
{
    (void)request;
    response_json(response, 200);
    statistics_write(hub, &response->body);
    return ROUTE_RESPOND;
}

static enum route_action get_metrics(struct hub *hub, const struct request *request,
                                     struct response *response)
{
    (void)request;
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    statistics_write_metrics(hub, &response->body);
    return ROUTE_RESPOND;
}

static enum route_action get_topics(struct hub *hub, const struct request *request, struct response *response)
{
    (void)request;
    response_json(response, 200);
    hub_write_topics(hub, &response->body);
    return ROUTE_RESPOND;
}

static enum route_action post_publish(struct hub *hub, const struct request *request,
                                      struct response *response)
{
    struct sse_text expectation = request_header(request, "Expect");

    if (request->framing == REQUEST_FRAMING_NONE)
        response_error(response, 411, "a POST needs Content-Length or Transfer-Encoding", NULL);
    else if (request->framing == REQUEST_FRAMING_LENGTH && request->content_length > hub_message_max(hub))
        publish_refuse_size(response);
    else if (expectation.ptr && !ascii_equals_ignoring_case(expectation, "100-continue"))
        response_error(response, 417, "the only expectation supported is 100-continue", NULL);
    else
        return ROUTE_BODY;
    return ROUTE_RESPOND;
}

static enum route_action post_complete(struct hub *hub, const struct request *request,
                                       struct response *response)
{
    publish_complete(hub, request, response);
    return ROUTE_RESPOND;
}

static const struct route routes[] = {
    {.path = "/", .allow = "GET, HEAD", .get = get_page, .open_to_all = true},
    {.path = "/events", .allow = "GET, HEAD", .get = get_events},
    {.path = "/watch", .allow = "GET, HEAD", .get = get_events, .needs_token = true},
    {.path = "/topics", .allow = "GET, HEAD", .get = get_topics, .needs_token = true},
    {.path = "/stats", .allow = "GET, HEAD", .get = get_statistics},
    {.path = "/metrics", .allow = "GET, HEAD", .get = get_metrics},
    {.path = "/publish", .allow = "POST", .post = post_publish},
    {.path = "/complete", .allow = "POST", .post = post_complete},
};

static const struct route *find_route(struct sse_text path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); ++i) {
        if (ascii_equals(path, routes[i].path))
            return &routes[i];
    }
    return NULL;
}

/** Answers a preflight: the browser asks whether a page of another origin may send a request. */
static enum route_action allow_preflight(struct response *response)
{
    response->status = 204;
    buffer_text(&response->headers,
                "Access-Control-Allow-Methods: GET, POST\r\n"
                "Access-Control-Allow-Headers: Last-Event-ID, Authorization, Content-Type, Cache-Control\r\n"
                "Access-Control-Max-Age: 600\r\n");
    return ROUTE_RESPOND;
}

static enum route_action refuse_method(const struct hub *hub, const struct route *route,
                                       struct response *response)
{
    response_error(response, 405, "this path does not support this method; see Allow", NULL);
    buffer_format(&response->headers, "Allow: %s%s\r\n", route->allow,
                  hub->options.cors_origin.ptr ? ", OPTIONS" : "");
    return ROUTE_RESPOND;
}

/** Compares every byte of `given`, so that the time does not reveal the token. `token` is not empty. */
static bool equals_in_constant_time(struct sse_text given, struct sse_text token)
{
    volatile unsigned char difference = given.len != token.len;

    for (size_t i = 0; i < given.len; ++i)
        difference = (unsigned char)(difference | (given.ptr[i] ^ token.ptr[i % token.len]));
    return difference == 0;
}

static bool has_token(const struct request *request, struct sse_text token)
{
    struct sse_text value = request_header(request, "Authorization");
    struct sse_text start = {.ptr = value.ptr, .len = strlen(scheme)};

    if (value.len < start.len || !ascii_equals_ignoring_case(start, scheme))
        return false;
    value.ptr += start.len;
    value.len -= start.len;
    return equals_in_constant_time(ascii_trim(value), token);
}

/** Returns whether a page may do this. If not, the request has been refused. */
static bool may_act(const struct hub *hub, const struct request *request, struct response *response)
{
    const struct options *options = &hub->options;
    const struct origin_rules rules = {
        .names = options->names,
        .name_count = options->name_count,
        .permitted = options->cors_origin,
    };
    const struct origin_request origin = {
        .host = request_header(request, "Host"),
        .origin = request_header(request, "Origin"),
        .fetch_site = request_header(request, "Sec-Fetch-Site"),
    };
    const char *refusal = origin_refusal(&rules, &origin);

    if (refusal)
        response_error(response, 403, refusal, NULL);
    return !refusal;
}

static bool is_authorised(const struct hub *hub, const struct request *request, struct response *response)
{
    if (!hub->options.token.ptr || has_token(request, hub->options.token))
        return true;
    response_error(response, 401, "the header 'Authorization: Bearer TOKEN' is missing or wrong", NULL);
    buffer_text(&response->headers, "WWW-Authenticate: Bearer\r\n");
    return false;
}

static bool is_allowed(const struct hub *hub, const struct route *route, bool posts,
                       const struct request *request, struct response *response)
{
    if (!route->open_to_all && !may_act(hub, request, response))
        return false;
    return (!posts && !route->needs_token) || is_authorised(hub, request, response);
}

bool routes_has_stream(struct sse_text path)
{
    const struct route *route = find_route(path);

    return route && route->get == get_events;
}

enum route_action routes_take_head(struct hub *hub, const struct request *request, struct response *response)
{
    const struct route *route = find_route(request->path);
    bool head = ascii_equals(request->method, "HEAD");
    bool posts = ascii_equals(request->method, "POST");
    route_handler *handler;

    response->without_body = head;
    if (ascii_equals(request->method, "OPTIONS") && hub->options.cors_origin.ptr &&
        (route || ascii_equals(request->path, "*")))
        return allow_preflight(response);
    if (!route) {
        response_error(response, 404, "there is nothing at this path; / shows the page", NULL);
        return ROUTE_RESPOND;
    }
    handler = posts ? route->post : head || ascii_equals(request->method, "GET") ? route->get : NULL;
    if (!handler)
        return refuse_method(hub, route, response);
    return is_allowed(hub, route, posts, request, response) ? handler(hub, request, response) : ROUTE_RESPOND;
}

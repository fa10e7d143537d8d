/* SPDX-License-Identifier: MIT */
#ifndef ORIGIN_H
#define ORIGIN_H

/**
 * Decides whether a request may act: publish an event, or open a stream. Ask before every POST and every
 * stream.
 *
 * A browser sends requests for every page that it shows, also to a server that only this machine can reach.
 * Three header fields say something about the page:
 *
 * - `Host` is the name by which the page reaches the server. A foreign page can let its own name point to this
 *   server's address (DNS rebinding). The browser then takes both for one origin, and only Host shows the foreign
 *   name.
 * - `Origin` is the origin of the page. Browsers send it with every POST, and with the request for a stream of
 *   another origin.
 * - `Sec-Fetch-Site` is the browser's own verdict. No page can set it. Browsers omit it if the server is
 *   reached by a name without TLS.
 *
 * This does not replace a login: a client that is not a browser can send any header.
 *
 * A proxy in front must pass Host on with its port (nginx: `proxy_set_header Host $http_host`), and you
 * must list the public name in `names`. If the proxy sends its own name as Host, pages that are reached without TLS
 * are refused.
 */

#include <arpa/inet.h>
#include <sse/base.h>
#include <stdbool.h>
#include <string.h>

struct origin_rules {
    /** The server's names, without a port. You need not list `localhost` or IP addresses: an IP address in Host is
     *  the address that the request was sent to, so no foreign page can choose it. */
    const struct sse_text *names;
    size_t name_count;
    /** Pages of this origin may act as well: `https://example.org`, for example, or `*` for all. Absent: no
     *  others. */
    struct sse_text permitted;
};

/** Header fields of a request; each may be absent or empty. */
struct origin_request {
    struct sse_text host; /**< in HTTP/2 `:authority` */
    struct sse_text origin;
    struct sse_text fetch_site;
};

static inline char origin_lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static inline bool origin_same_text(struct sse_text left, struct sse_text right)
{
    size_t same = 0;

    while (same < left.len && same < right.len &&
           origin_lower(left.ptr[same]) == origin_lower(right.ptr[same]))
        same++;
    return same == left.len && same == right.len;
}

/* Returns 0 if there are no digits. 0 stands for the default port of the scheme. */
static inline bool origin_read_port(struct sse_text digits, unsigned *port)
{
    *port = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        *port = *port * 10 + (unsigned)(digits.ptr[i] - '0');
        if (*port > 65535)
            return false;
    }
    return true;
}

/* Splits `name:port`. An IPv6 address keeps its brackets. */
static inline bool origin_split(struct sse_text authority, struct sse_text *name, unsigned *port)
{
    const char *bracket, *colon;

    if (!authority.len)
        return false;
    bracket = authority.ptr[0] == '[' ? memchr(authority.ptr, ']', authority.len) : authority.ptr;
    if (!bracket)
        return false;
    *port = 0;
    *name = authority;
    colon = memchr(bracket, ':', authority.len - (size_t)(bracket - authority.ptr));
    if (!colon)
        return true;
    name->len = (size_t)(colon - authority.ptr);
    return origin_read_port((struct sse_text){colon + 1, authority.len - name->len - 1}, port);
}

static inline bool origin_is_address(struct sse_text name)
{
    const bool is_ipv6 = name.len > 2 && name.ptr[0] == '[';
    unsigned char address[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];
    size_t size = is_ipv6 ? name.len - 2 : name.len;

    if (size >= sizeof(text))
        return false;
    memcpy(text, name.ptr + (is_ipv6 ? 1 : 0), size);
    text[size] = '\0';
    return strlen(text) == size && inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, address) == 1;
}

static inline bool origin_knows_host(const struct origin_rules *rules, struct sse_text host)
{
    struct sse_text name;
    unsigned port;

    if (!origin_split(host, &name, &port))
        return false;
    for (size_t i = 0; i < rules->name_count; i++) {
        if (origin_same_text(name, rules->names[i]))
            return true;
    }
    return origin_same_text(name, sse_str("localhost")) || origin_is_address(name);
}

static inline bool origin_starts_with(struct sse_text text, const char *start)
{
    return text.len >= strlen(start) &&
           origin_same_text((struct sse_text){text.ptr, strlen(start)}, sse_str(start));
}

/* Whether a page of this origin reaches its own server by this Host. */
static inline bool origin_is_of_host(struct sse_text origin, struct sse_text host)
{
    const bool is_https = origin_starts_with(origin, "https://");
    const size_t start = strlen(is_https ? "https://" : "http://");
    const unsigned scheme_port = is_https ? 443 : 80;
    struct sse_text name, host_name;
    unsigned port, host_port;

    if (!is_https && !origin_starts_with(origin, "http://"))
        return false;
    if (!origin_split((struct sse_text){origin.ptr + start, origin.len - start}, &name, &port) ||
        !origin_split(host, &host_name, &host_port))
        return false;
    return origin_same_text(name, host_name) &&
           (port ? port : scheme_port) == (host_port ? host_port : scheme_port);
}

static inline bool origin_is_permitted(const struct origin_rules *rules, struct sse_text origin)
{
    const struct sse_text permitted = rules->permitted;

    if (!permitted.len || !origin.len)
        return false;
    return (permitted.len == 1 && permitted.ptr[0] == '*') ||
           (permitted.len == origin.len && !memcmp(permitted.ptr, origin.ptr, origin.len));
}

/** Returns NULL if the request may act. Otherwise refuse it with the status 403; the text says why. */
static inline const char *origin_refusal(const struct origin_rules *rules,
                                         const struct origin_request *request)
{
    bool is_own;

    if (request->host.len && !origin_knows_host(rules, request->host))
        return "the server does not know the name in Host; add it to the server's names";
    if (origin_is_permitted(rules, request->origin))
        return NULL;
    if (request->fetch_site.len)
        is_own = origin_same_text(request->fetch_site, sse_str("same-origin")) ||
                 origin_same_text(request->fetch_site, sse_str("none"));
    else
        is_own = !request->origin.len || origin_is_of_host(request->origin, request->host);
    return is_own ? NULL : "pages of another origin may not do this";
}

#endif

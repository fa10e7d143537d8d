/* SPDX-License-Identifier: MIT */
/* Refuses requests of other sites' pages: they may neither listen nor publish. */
#include "mod_sse.h"

#include "../../origin.h"

static struct sse_text header(const request_rec *r, const char *name)
{
    return sse_str(apr_table_get(r->headers_in, name));
}

/* ServerName and ServerAlias are those of the virtual host. Apache uses the default one if no other has the name in
 * Host. */
bool page_may_act(const request_rec *r)
{
    const apr_array_header_t *aliases = r->server->names;
    const size_t count = aliases ? (size_t)aliases->nelts : 0;
    struct sse_text *names = apr_palloc(r->pool, (count + 1) * sizeof(*names));
    const struct origin_rules rules = {.names = names, .name_count = count + 1};
    const struct origin_request page = {
        .host = header(r, "Host"), .origin = header(r, "Origin"), .fetch_site = header(r, "Sec-Fetch-Site")};

    names[0] = sse_str(r->server->server_hostname);
    for (size_t i = 0; i < count; i++)
        names[i + 1] = sse_str(((const char *const *)aliases->elts)[i]);
    return !origin_refusal(&rules, &page);
}

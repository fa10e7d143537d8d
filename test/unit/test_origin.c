/* SPDX-License-Identifier: MIT */
/* Which requests may act, by the three header fields about the page: examples/origin.h. */
#include "origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Fields that are NULL are absent. */
struct row {
    const char *host;
    const char *origin;
    const char *fetch_site;
    bool may_act;
};

static const struct sse_text names[] = {{"example.org", 11}, {"Other.Example", 13}, {"zone.example", 12}};

static struct origin_rules rules_with(const char *permitted)
{
    return (struct origin_rules){.names = names, .name_count = 3, .permitted = sse_str(permitted)};
}

/* The text ends where its block ends, so that sanitizers notice every read past it. */
static struct sse_text copy(const char *string)
{
    size_t size = string ? strlen(string) : 0;
    char *block = string ? malloc(size ? size : 1) : NULL;

    if (size)
        memcpy(block, string, size);
    return (struct sse_text){block, size};
}

static bool may_act(const struct origin_rules *rules, const struct row *row)
{
    const struct origin_request request = {copy(row->host), copy(row->origin), copy(row->fetch_site)};
    const char *refusal = origin_refusal(rules, &request);

    free((void *)request.host.ptr);
    free((void *)request.origin.ptr);
    free((void *)request.fetch_site.ptr);
    return !refusal;
}

static const char *shown(const char *text)
{
    return text ? text : "absent";
}

static void check(const char *permitted, const struct row *rows, size_t count)
{
    const struct origin_rules rules = rules_with(permitted);

    for (size_t i = 0; i < count; i++)
        if (may_act(&rules, &rows[i]) != rows[i].may_act)
            fail_msg("Host %s, Origin %s, Sec-Fetch-Site %s, permitted %s: it should %s",
                     shown(rows[i].host), shown(rows[i].origin), shown(rows[i].fetch_site), shown(permitted),
                     rows[i].may_act ? "act" : "be refused");
}

#define CHECK(permitted, rows) check(permitted, rows, sizeof(rows) / sizeof((rows)[0]))

static void clients_that_are_no_browsers_send_no_fields(void **state)
{
    const struct row rows[] = {
        {NULL, NULL, NULL, true},
        {"", "", "", true},
        {"localhost:8080", NULL, NULL, true},
        {"127.0.0.1:8080", NULL, NULL, true},
    };

    (void)state;
    CHECK(NULL, rows);
}

static void a_host_is_one_of_the_names_or_an_address(void **state)
{
    const struct row rows[] = {
        {"localhost", NULL, NULL, true},
        {"LocalHost:1", NULL, NULL, true},
        {"example.org", NULL, NULL, true},
        {"EXAMPLE.ORG:65535", NULL, NULL, true},
        {"example.org:", NULL, NULL, true},
        {"other.example:443", NULL, NULL, true},
        {"ZONE.EXAMPLE", NULL, NULL, true},
        {"127.0.0.1", NULL, NULL, true},
        {"192.0.2.1:8080", NULL, NULL, true},
        {"[::1]", NULL, NULL, true},
        {"[::1]:8080", NULL, NULL, true},
        {"[2001:DB8::1]:", NULL, NULL, true},
        {"[::ffff:192.0.2.1]", NULL, NULL, true},
        /* Foreign names, also as in DNS rebinding. */
        {"evil.example", NULL, NULL, false},
        {"evil.example:8080", NULL, NULL, false},
        {"localhost.evil.example", NULL, NULL, false},
        {"evil.localhost", NULL, NULL, false},
        {"localhost.", NULL, NULL, false},
        {"127.0.0.1.evil.example", NULL, NULL, false},
        {"www.example.org", NULL, NULL, false},
        {"xexample.org", NULL, NULL, false},
        {"example.or", NULL, NULL, false},
        {"example.orgs", NULL, NULL, false},
        /* Texts that are not an authority. */
        {":", NULL, NULL, false},
        {":8080", NULL, NULL, false},
        {"example.org:65536", NULL, NULL, false},
        {"example.org:80808080808080808080", NULL, NULL, false},
        {"example.org:80:80", NULL, NULL, false},
        {"example.org:+80", NULL, NULL, false},
        {"example.org:8o", NULL, NULL, false},
        {"example.org:8/", NULL, NULL, false},
        {"example.org evil.example", NULL, NULL, false},
        {"example.org, evil.example", NULL, NULL, false},
        {"user@example.org", NULL, NULL, false},
        {"http://example.org", NULL, NULL, false},
        {"127.1", NULL, NULL, false},
        {"127.0.0.256", NULL, NULL, false},
        {"0x7f000001", NULL, NULL, false},
        {"2130706433", NULL, NULL, false},
        {"::1", NULL, NULL, false},
        {"[", NULL, NULL, false},
        {"[]", NULL, NULL, false},
        {"[::1", NULL, NULL, false},
        {"[::1]8080", NULL, NULL, false},
        {"[::1]x:8080", NULL, NULL, false},
        {"[127.0.0.1]", NULL, NULL, false},
        {"[localhost]", NULL, NULL, false},
        {"[::1%lo]", NULL, NULL, false},
        {"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL, NULL, false},
    };

    (void)state;
    CHECK(NULL, rows);
}

static void a_nul_ends_no_name(void **state)
{
    const struct origin_rules rules = rules_with(NULL);
    const struct sse_text hosts[] = {{"localhost\0", 10}, {"127.0.0.1\0x", 11}, {"[::1\0]", 6}, {"\0", 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (!origin_refusal(&rules, &(struct origin_request){.host = hosts[i]}))
            fail_msg("the host number %zu", i);
}

static void an_origin_is_that_of_the_host(void **state)
{
    const struct row rows[] = {
        {"localhost:8080", "http://localhost:8080", NULL, true},
        {"LOCALHOST:8080", "HTTP://Localhost:8080", NULL, true},
        {"[::1]:8080", "http://[::1]:8080", NULL, true},
        {"[2001:DB8::A]:8080", "http://[2001:db8::a]:8080", NULL, true},
        {"example.org", "http://example.org", NULL, true},
        {"example.org", "https://example.org", NULL, true},
        {"example.org:80", "http://example.org", NULL, true},
        {"example.org:443", "https://example.org", NULL, true},
        {"example.org", "http://example.org:80", NULL, true},
        {"example.org", "https://example.org:443", NULL, true},
        {"example.org:", "http://example.org", NULL, true},
        {"example.org:08080", "http://example.org:8080", NULL, true},
        /* Another port, name or address. */
        {"localhost:8080", "http://localhost:8081", NULL, false},
        {"localhost:8080", "http://localhost", NULL, false},
        {"localhost", "http://localhost:8080", NULL, false},
        {"example.org:80", "https://example.org", NULL, false},
        {"example.org:443", "http://example.org", NULL, false},
        {"localhost:8080", "http://127.0.0.1:8080", NULL, false},
        {"127.0.0.1:8080", "http://127.0.0.2:8080", NULL, false},
        {"[::1]:8080", "http://[::2]:8080", NULL, false},
        {"example.org", "http://other.example", NULL, false},
        {"example.org", "http://evil.example", NULL, false},
        {"example.org", "http://example.org.evil.example", NULL, false},
        {"example.org", "http://evil.example?example.org", NULL, false},
        {"example.org", "http://evil.example#@example.org", NULL, false},
        /* Host and Origin are both foreign, as in DNS rebinding. */
        {"evil.example:8080", "http://evil.example:8080", NULL, false},
        /* No page from the server has these origins. */
        {"localhost:8080", "null", NULL, false},
        {"localhost:8080", "file://", NULL, false},
        {"localhost:8080", "http://", NULL, false},
        {"localhost:8080", "https://", NULL, false},
        {"localhost:8080", "http", NULL, false},
        {"localhost:8080", "localhost:8080", NULL, false},
        {"localhost:8080", "//localhost:8080", NULL, false},
        {"localhost:8080", "ftp://localhost:8080", NULL, false},
        {"localhost:8080", "chrome-extension://localhost:8080", NULL, false},
        {"localhost:8080", "http://localhost:8080/", NULL, false},
        {"localhost:8080", "http://user@localhost:8080", NULL, false},
        {"localhost:8080", "http://localhost:8080 http://evil.example", NULL, false},
        {"localhost:8080", "http://localhost:8080, http://evil.example", NULL, false},
        {"localhost:8080", "http://[::1", NULL, false},
        {"localhost:8080", " http://localhost:8080", NULL, false},
        /* There is no Host to compare with. */
        {NULL, "http://localhost:8080", NULL, false},
        {NULL, "null", NULL, false},
    };

    (void)state;
    CHECK(NULL, rows);
}

static void the_browser_s_verdict_counts(void **state)
{
    const struct row rows[] = {
        {"localhost:8080", NULL, "same-origin", true},
        {"localhost:8080", NULL, "none", true},
        {NULL, NULL, "same-origin", true},
        {"localhost:8080", "http://localhost:8080", "same-origin", true},
        /* A proxy has put its own name into Host. */
        {"127.0.0.1:8080", "https://example.org", "same-origin", true},
        /* Requests of the server's own page never have these values. */
        {"localhost:8080", NULL, "cross-site", false},
        {"localhost:8080", NULL, "same-site", false},
        {"localhost:8080", NULL, "something-new", false},
        {"localhost:8080", NULL, "same-origin, cross-site", false},
        {NULL, NULL, "cross-site", false},
        {"localhost:8080", "http://localhost:8080", "cross-site", false},
        {"localhost:8080", "https://evil.example", "cross-site", false},
        {"localhost:8080", "null", "cross-site", false},
        /* With DNS rebinding, the page has the same origin. */
        {"evil.example", NULL, "same-origin", false},
        {"evil.example", "http://evil.example", "same-origin", false},
    };

    (void)state;
    CHECK(NULL, rows);
}

static void one_other_origin_may_be_permitted(void **state)
{
    const struct row rows[] = {
        {"localhost:8080", "https://good.example", NULL, true},
        {"localhost:8080", "https://good.example", "cross-site", true},
        {NULL, "https://good.example", NULL, true},
        {"localhost:8080", "http://localhost:8080", NULL, true},
        {"localhost:8080", NULL, "same-origin", true},
        {"localhost:8080", NULL, NULL, true},
        {"localhost:8080", "https://evil.example", NULL, false},
        {"localhost:8080", "https://evil.example", "cross-site", false},
        {"localhost:8080", NULL, "cross-site", false},
        {"localhost:8080", "null", "cross-site", false},
        {"localhost:8080", "http://good.example", NULL, false},
        {"localhost:8080", "https://good.example:8443", NULL, false},
        {"localhost:8080", "https://good.example.evil.example", NULL, false},
        {"localhost:8080", "https://good.exampl", NULL, false},
        {"good.example", "https://good.example", NULL, false},
        {"evil.example", "https://good.example", NULL, false},
    };

    (void)state;
    CHECK("https://good.example", rows);
}

static void every_origin_may_be_permitted(void **state)
{
    const struct row rows[] = {
        {"localhost:8080", "https://evil.example", "cross-site", true},
        {"localhost:8080", "null", "cross-site", true},
        {"localhost:8080", NULL, "same-site", false},
        {"evil.example", "http://evil.example", "same-origin", false},
    };

    (void)state;
    CHECK("*", rows);
    assert_false(may_act(&(struct origin_rules){.permitted = sse_str("*.example")}, &rows[0]));
}

static void without_names_there_are_localhost_and_addresses(void **state)
{
    const struct origin_rules none = {.names = NULL};
    const struct row rows[] = {
        {"localhost", NULL, NULL, true},
        {"127.0.0.1", "http://127.0.0.1", NULL, true},
        {"example.org", NULL, NULL, false},
        {"localhost", "*", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(may_act(&none, &rows[i]), rows[i].may_act);
}

static void a_refusal_says_why(void **state)
{
    const struct origin_rules rules = rules_with(NULL);
    struct origin_request request = {.host = sse_str("evil.example")};

    (void)state;
    assert_string_equal(origin_refusal(&rules, &request),
                        "the server does not know the name in Host; add it to the server's names");
    request = (struct origin_request){sse_str("localhost"), sse_str("http://evil.example"), sse_str(NULL)};
    assert_string_equal(origin_refusal(&rules, &request), "pages of another origin may not do this");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_are_no_browsers_send_no_fields),
        cmocka_unit_test(a_host_is_one_of_the_names_or_an_address),
        cmocka_unit_test(a_nul_ends_no_name),
        cmocka_unit_test(an_origin_is_that_of_the_host),
        cmocka_unit_test(the_browser_s_verdict_counts),
        cmocka_unit_test(one_other_origin_may_be_permitted),
        cmocka_unit_test(every_origin_may_be_permitted),
        cmocka_unit_test(without_names_there_are_localhost_and_addresses),
        cmocka_unit_test(a_refusal_says_why),
    };

    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* test/checks/installed.sh compares this version with meson.build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/base.h>

#include <stdio.h>

static void the_library_has_the_version_of_its_headers(void **state)
{
    char text[64];

    (void)state;
    (void)snprintf(text, sizeof(text), "%d.%d.%d", SSE_VERSION_MAJOR, SSE_VERSION_MINOR, SSE_VERSION_PATCH);
    assert_string_equal(sse_version(), text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_has_the_version_of_its_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

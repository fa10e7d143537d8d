/* SPDX-License-Identifier: MIT */
#include "ending.h"

#include "clock.h"
#include "options.h"

#include <inttypes.h>
#include <stdio.h>

int ending_begin(struct ending *ending, struct sse_registry *registry, const struct options *options)
{
    const struct sse_event farewell = {
        .type = sse_str("farewell"),
        .data = sse_str("The hub is going away. Please come back."),
    };
    const struct sse_shutdown_options how = {
        .size = sizeof(how),
        .farewell = &farewell,
        .retry_min_ms = options->retry_min_ms,
        .retry_max_ms = options->retry_max_ms,
        .drain_ms = options->grace_ms,
    };
    int64_t now_ms = clock_now_ms();
    int error = sse_registry_shutdown(registry, &how);

    if (error < 0)
        return error;
    ending->registry = registry;
    ending->begun_ms = now_ms;
    return 0;
}

void ending_check(struct ending *ending)
{
    struct sse_shutdown_report report = {.size = sizeof(report)};

    if (!ending->registry || ending->is_over || sse_registry_shutdown_report(ending->registry, &report) < 0 ||
        report.remaining > 0)
        return;
    ending->is_over = true;
    ending->over_ms = clock_now_ms();
}

void ending_report(struct ending *ending)
{
    struct sse_shutdown_report report = {.size = sizeof(report)};

    ending_check(ending);
    if (!ending->registry || sse_registry_shutdown_report(ending->registry, &report) < 0)
        return;
    printf("shutdown: %zu clients, %zu completed, %zu cut, %" PRIu64 " bytes left, %" PRId64 " ms\n",
           report.completed + report.cut + report.remaining, report.completed, report.cut, report.bytes_left,
           (ending->is_over ? ending->over_ms : clock_now_ms()) - ending->begun_ms);
    fflush(stdout);
}

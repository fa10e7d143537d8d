/* SPDX-License-Identifier: MIT */
/* No memory while a history grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

static void begin(size_t events)
{
    (void)set_up(NULL);
    use_registry((struct sse_registry_options){
        .history = {.events = events}, .id_prefix = sse_str("E"), .gap_type = sse_str("gap")});
}

static int try_publish(const char *topic, const char *data, const char *id, struct sse_delivery *delivery)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};

    return sse_registry_publish(registry, *topic ? sse_str(topic) : absent, &event, delivery);
}

static size_t allocations_of_a_publish(void)
{
    size_t before = atomic_load(&platform.allocations);

    (void)publish('a', "x");
    return atomic_load(&platform.allocations) - before;
}

/* The emitter stores its last id. Room for it is allocated when it joins. */
static void the_first_event_of_a_stream_needs_no_memory(void **state)
{
    size_t steady;

    (void)state;
    begin(2);
    for (unsigned i = 0; i < 4; i++)
        (void)allocations_of_a_publish();
    steady = allocations_of_a_publish();
    enter(0, "a");
    assert_int_equal(allocations_of_a_publish(), steady);
    assert_string_equal(fake_client_text(&clients[0]), EVENT("x", "6"));
    (void)tear_down(NULL);
}

/* Publishers' ids need memory. If there is none, history and index stay consistent. */
static void names_and_history_stay_consistent(void **state)
{
    char name[24], last[24] = "";
    size_t failures = 0;

    (void)state;
    begin(20);
    for (size_t i = 0; i < 400; i++) {
        int error;

        (void)snprintf(name, sizeof(name), "name-%zu", i % 50);
        fake_platform_fail_at(&platform, i % 7, i % 3);
        error = try_publish("a", name, name, NULL);
        fake_platform_fail_at(&platform, 0, false);
        if (!error)
            memcpy(last, name, sizeof(name));
        failures += error == -ENOMEM;
        if (*last)
            come_back(0, "a", sse_str(last), SSE_REPLAY_COMPLETE, "");
    }
    assert_true(failures > 50);
    assert_int_equal(stats().history_events, 20);
    (void)tear_down(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_event_of_a_stream_needs_no_memory),
        cmocka_unit_test(names_and_history_stay_consistent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Events and batches: compares the encoder with its reference, and with a client that parses the bytes. */

#include "event_check.h"
#include "fake_platform.h"
#include "input.h"

#include <sse/message.h>

#define EVENTS_MAX 4

/** Faults of a length. With several faults at once, any of their errors may be returned. */
enum fault { SOUND = 0, BROKEN = 1, HUGE = 2, LONG_KEY = 4 };

struct scene {
    struct fuzz_input input;
    struct fuzz_texts texts;
    struct sse_event events[EVENTS_MAX];
    unsigned faults[EVENTS_MAX]; /* of enum fault */
    size_t count;
};

static struct sse_text optional_text(struct scene *scene, unsigned present)
{
    return present ? fuzz_text(&scene->input, &scene->texts) : (struct sse_text){.ptr = NULL};
}

static struct sse_text *draw_field(struct scene *scene, struct sse_event *event)
{
    struct sse_text *const fields[] = {&event->id, &event->type, &event->data, &event->comment};

    return fields[fuzz_below(&scene->input, 4)];
}

static unsigned spoil(struct scene *scene, struct sse_event *event)
{
    switch (fuzz_below(&scene->input, 4)) {
    case 0:
        *draw_field(scene, event) = (struct sse_text){.len = 1 + fuzz_number(&scene->input, 8) / 2};
        return BROKEN;
    case 1:
        /* Only one byte may be read. */
        *draw_field(scene, event) = (struct sse_text){.ptr = fuzz_room(&scene->texts, 1),
                                                      .len = SIZE_MAX / 2 + fuzz_number(&scene->input, 7)};
        return HUGE;
    case 2:
        event->key = (struct sse_text){.len = 1};
        return BROKEN;
    default:
        event->key = (struct sse_text){.ptr = fuzz_room(&scene->texts, SSE_KEY_SIZE_MAX + 1),
                                       .len = SSE_KEY_SIZE_MAX + 1};
        return LONG_KEY;
    }
}

static int64_t draw_retry(struct fuzz_input *input)
{
    unsigned kind = fuzz_below(input, 4);

    if (kind == 0)
        return (int64_t)fuzz_number(input, 2);
    if (kind == 1)
        return SSE_RETRY_MAX - 2 + fuzz_below(input, 5);
    return kind == 2 ? (int64_t)fuzz_number(input, 8) : (int64_t)fuzz_number(input, 4) % SSE_RETRY_MAX;
}

static void draw_event(struct scene *scene, size_t i)
{
    struct sse_event *event = &scene->events[i];
    unsigned fields = fuzz_byte(&scene->input);

    event->id = optional_text(scene, fields & 1);
    event->type = optional_text(scene, fields & 2);
    event->data = optional_text(scene, fields & 4);
    event->comment = optional_text(scene, fields & 8);
    event->retry_ms = fields & 16 ? draw_retry(&scene->input) : 0;
    event->trusted_utf8 = fields & 32;
    event->key = optional_text(scene, fields & 64);
    if (fuzz_one_in(&scene->input, 16))
        scene->faults[i] = spoil(scene, event);
    if (event->key.len > SSE_KEY_SIZE_MAX)
        scene->faults[i] |= LONG_KEY;
}

static bool is_error_of(unsigned faults, ssize_t error)
{
    return (error == -EINVAL && faults & BROKEN) || (error == -EOVERFLOW && faults & HUGE) ||
           (error == -EMSGSIZE && faults & LONG_KEY);
}

static void check_alone(const struct scene *scene, size_t i)
{
    const struct sse_event *event = &scene->events[i];
    ssize_t error;

    if (scene->faults[i] == SOUND) {
        (void)event_check_bytes(event);
        return;
    }
    error = sse_event_encode(event, NULL, 0);
    fuzz_expect(is_error_of(scene->faults[i], error), "event %zu with the faults %u: %zd", i,
                scene->faults[i], error);
}

/* The error of a batch; 1: any error of its faults. */
static int expected_error(const struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++) {
        int error = scene->faults[i] == SOUND ? event_reference_error(&scene->events[i]) : 1;

        if (!error && scene->count > 1 && scene->events[i].key.ptr)
            error = -EINVAL;
        if (error)
            return error;
    }
    return 0;
}

/* For bytes that are not UTF-8, a client reports other data than were sent. */
static bool is_utf8(const struct scene *scene)
{
    bool utf8 = true;

    for (size_t i = 0; i < scene->count; i++) {
        struct sse_event event = scene->events[i];

        event.trusted_utf8 = false;
        utf8 = utf8 && !event_reference_error(&event);
    }
    return utf8;
}

static void check_message(struct scene *scene, struct sse_message *message)
{
    struct sse_text bytes = sse_message_bytes(message);
    struct event_source_text wire = {.bytes = NULL};

    for (size_t i = 0; i < scene->count; i++)
        event_reference_encode(&wire, &scene->events[i]);
    fuzz_expect(fuzz_same(bytes, (struct sse_text){.ptr = wire.bytes, .len = wire.length}),
                "a message has other bytes than its events");
    event_source_text_free(&wire);
    if (is_utf8(scene))
        event_check_client(scene->events, scene->count, bytes.ptr, bytes.len, fuzz_byte(&scene->input));
}

static void check_together(struct scene *scene)
{
    int expected = expected_error(scene), error;
    struct sse_message *message = NULL;
    struct fake_platform fake;
    bool fails = fuzz_one_in(&scene->input, 8);

    fake_platform_init(&fake);
    if (fails)
        fake_platform_fail_at(&fake, 1, true);
    error = sse_message_new(&message, scene->events, scene->count, &fake.platform);
    if (fails && !expected)
        expected = -ENOMEM;
    fuzz_expect(expected == 1 ? error < 0 : error == expected, "a message gives %d, not %d", error, expected);
    fuzz_expect(!error == !!message, "a message and an error, or neither");
    if (message) {
        fuzz_expect(sse_message_ref(message) == message, "another message");
        sse_message_unref(message);
        check_message(scene, message);
    }
    sse_message_unref(message);
    fake_platform_check_no_leak(&fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.input = {.at = data, .end = data + size}};

    scene.count = 1 + fuzz_below(&scene.input, EVENTS_MAX);
    for (size_t i = 0; i < scene.count; i++)
        draw_event(&scene, i);
    for (size_t i = 0; i < scene.count; i++)
        check_alone(&scene, i);
    check_together(&scene);
    event_check_end();
    fuzz_texts_free(&scene.texts);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The ring alone: any process reads the published events in one order. Events that do not fit any more are
 * discarded, and readers learn that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring.h"

#include <poll.h>
#include <sse/registry.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ring *make_ring(size_t bytes, size_t events, size_t event_bytes)
{
    const struct ring_options options = {
        .bytes = bytes, .events = events, .event_bytes = event_bytes, .readers = 3};
    struct ring *ring;

    assert_int_equal(ring_create(&ring, &options), 0);
    return ring;
}

static void publish_number(struct ring *ring, uint64_t number)
{
    char data[32], id[RING_ID_SIZE], expected[RING_ID_SIZE];

    snprintf(data, sizeof(data), "event %llu", (unsigned long long)number);
    assert_int_equal(ring_publish(ring, sse_str("topic"), &(struct sse_event){.data = sse_str(data)}, id), 0);
    assert_string_equal(id, ring_format_id(ring, number, expected));
}

static void assert_text(struct sse_text text, const char *expected)
{
    if (!expected) {
        assert_null(text.ptr);
        return;
    }
    assert_non_null(text.ptr);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.ptr, expected, text.len);
}

static void assert_number(struct ring *ring, uint64_t number)
{
    struct ring_entry *entry = ring_entry_new(ring);
    char data[32];

    snprintf(data, sizeof(data), "event %llu", (unsigned long long)number);
    assert_int_equal(ring_read(ring, number, entry), 1);
    assert_text(entry->topic, "topic");
    assert_text(entry->event.data, data);
    free(entry);
}

static int read_code(struct ring *ring, uint64_t number)
{
    struct ring_entry *entry = ring_entry_new(ring);
    int code = ring_read(ring, number, entry);

    free(entry);
    return code;
}

static bool is_readable(const struct ring *ring, int place)
{
    struct pollfd readable = {.fd = ring_fd(ring, place), .events = POLLIN};

    return poll(&readable, 1, 0) == 1;
}

static void every_text_comes_back(void **state)
{
    static const char *const texts[][4] = {
        {"topic", "type", "data", "key"}, {NULL, NULL, "", NULL}, {"t", NULL, "seven 7", NULL},
        {"t", "", "eight  8", ""},        {NULL, "a", "b", "c"},
    };
    struct ring *ring = make_ring(0, 0, 0);
    struct ring_entry *entry = ring_entry_new(ring);

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct sse_event event = {
            .type = sse_str(texts[i][1]), .data = sse_str(texts[i][2]), .key = sse_str(texts[i][3])};

        assert_int_equal(ring_publish(ring, sse_str(texts[i][0]), &event, NULL), 0);
        assert_int_equal(ring_read(ring, i + 1, entry), 1);
        assert_text(entry->topic, texts[i][0]);
        assert_text(entry->event.type, texts[i][1]);
        assert_text(entry->event.data, texts[i][2]);
        assert_text(entry->event.key, texts[i][3]);
    }
    free(entry);
    ring_free(ring);
}

static void an_empty_ring_has_nothing(void **state)
{
    struct ring *ring = make_ring(0, 0, 0);

    (void)state;
    assert_int_equal(ring_newest(ring), 0);
    assert_int_equal(ring_oldest(ring), 1);
    assert_int_equal(read_code(ring, 1), 0);
    ring_free(ring);
}

static void it_retains_so_many_events(void **state)
{
    struct ring *ring = make_ring(0, 5, 0);

    (void)state;
    for (uint64_t number = 1; number <= 40; number++) {
        publish_number(ring, number);
        assert_int_equal(ring_newest(ring), number);
        assert_int_equal(ring_oldest(ring), number <= 5 ? 1 : number - 4);
        for (uint64_t old = ring_oldest(ring); old <= number; old++)
            assert_number(ring, old);
        assert_int_equal(read_code(ring, ring_oldest(ring) - 1), -ENODATA);
        assert_int_equal(read_code(ring, number + 1), 0);
    }
    ring_free(ring);
}

/* The ring retains as many events of every size as fit, and not one less. */
static void it_retains_so_many_bytes(void **state)
{
    const size_t words = 128;
    struct ring *ring = make_ring(words * 8, 1000, 256);
    struct ring_entry *entry = ring_entry_new(ring);
    size_t sizes[3000];
    char data[256];

    (void)state;
    for (uint64_t number = 1; number < 3000; number++) {
        size_t used = 0;
        uint64_t oldest = number;

        sizes[number] = (size_t)rand() % 200;
        memset(data, 'a' + (int)(number % 26), sizeof(data));
        assert_int_equal(
            ring_publish(ring, sse_str(NULL), &(struct sse_event){.data = {data, sizes[number]}}, NULL), 0);
        for (; oldest > 0 && used + 3 + (sizes[oldest] + 7) / 8 <= words; oldest--)
            used += 3 + (sizes[oldest] + 7) / 8;
        assert_int_equal(ring_oldest(ring), oldest + 1);
        for (uint64_t old = oldest + 1; old <= number; old++) {
            memset(data, 'a' + (int)(old % 26), sizeof(data));
            assert_int_equal(ring_read(ring, old, entry), 1);
            assert_int_equal(entry->event.data.len, sizes[old]);
            assert_memory_equal(entry->event.data.ptr, data, sizes[old]);
        }
    }
    free(entry);
    ring_free(ring);
}

static void what_is_no_event_is_refused(void **state)
{
    struct ring *ring = make_ring(1024, 5, 100);
    char topic[SSE_TOPIC_SIZE_MAX + 1];
    const struct sse_text data = sse_str("data");
    const struct {
        int error;
        struct sse_text topic;
        struct sse_event event;
    } refused[] = {
        {-EINVAL, sse_str("t"), {.id = sse_str("1"), .data = data}},
        {-EINVAL, sse_str("t"), {.comment = sse_str("c"), .data = data}},
        {-EINVAL, sse_str("t"), {.retry_ms = 5, .data = data}},
        {-EINVAL, sse_str("t"), {.type = sse_str("type")}},
        {-EINVAL, sse_str("t"), {.type = sse_str("a\nb"), .data = data}},
        {-EILSEQ, sse_str("t"), {.data = sse_str("\xff")}},
        {-EINVAL, {NULL, 3}, {.data = data}},
        {-EBADMSG, sse_str(""), {.data = data}},
        {-EBADMSG, {topic, sizeof(topic)}, {.data = data}},
        {-EMSGSIZE, {topic, 90}, {.data = data}},
    };

    (void)state;
    memset(topic, 't', sizeof(topic));
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(ring_publish(ring, refused[i].topic, &refused[i].event, NULL), refused[i].error);
    assert_int_equal(ring_newest(ring), 0);
    publish_number(ring, 1);
    ring_free(ring);
}

/* "data: ", the data, two line ends: 8 bytes in addition to the data, and the topic. */
static void the_largest_event_has_its_size(void **state)
{
    struct ring *ring = make_ring(1024, 5, 100);
    char data[100];

    (void)state;
    memset(data, 'd', sizeof(data));
    assert_int_equal(ring_publish(ring, sse_str("t"), &(struct sse_event){.data = {data, 91}}, NULL), 0);
    assert_int_equal(ring_publish(ring, sse_str("t"), &(struct sse_event){.data = {data, 92}}, NULL),
                     -EMSGSIZE);
    ring_free(ring);
}

static void options_have_bounds(void **state)
{
    const struct ring_options refused[] = {
        {.events = 1},         {.bytes = 1024, .event_bytes = 257}, {.bytes = SIZE_MAX}, {.events = SIZE_MAX},
        {.readers = SIZE_MAX},
    };
    struct ring *ring = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(ring_create(&ring, &refused[i]), -EINVAL);
    assert_int_equal(ring_create(NULL, NULL), -EINVAL);
    assert_null(ring);
}

static void ids_stand_for_numbers(void **state)
{
    struct ring *ring = make_ring(0, 5, 0), *later = make_ring(0, 5, 0);
    char id[RING_ID_SIZE], text[64];
    uint64_t number = 77;

    (void)state;
    for (uint64_t n = 1; n <= 12; n++) {
        publish_number(ring, n);
        publish_number(later, n);
    }
    for (uint64_t n = 0; n <= 12; n++) {
        assert_true(ring_parse_id(ring, sse_str(ring_format_id(ring, n, id)), &number));
        assert_int_equal(number, n);
    }
    /* Ids of future events, and of another ring. */
    number = 77;
    assert_false(ring_parse_id(ring, sse_str(ring_format_id(ring, 13, id)), &number));
    assert_false(ring_parse_id(ring, sse_str(ring_format_id(ring, UINT64_MAX, id)), &number));
    assert_false(ring_parse_id(later, sse_str(ring_format_id(ring, 5, id)), &number));
    assert_false(ring_parse_id(ring, sse_str(NULL), &number));
    for (const char *const *tail =
             (const char *const[]){"", "5", "-", "-05", "-+5", "- 5", "-5 ", "-5x", "--5",
                                   "-18446744073709551621", "-5000000000000000000000000000000", NULL};
         *tail; tail++) {
        ring_format_id(ring, 5, id);
        *strchr(id, '-') = '\0';
        snprintf(text, sizeof(text), "%s%s", id, *tail);
        assert_false(ring_parse_id(ring, sse_str(text), &number));
    }
    ring_format_id(ring, 5, id);
    assert_false(ring_parse_id(ring, (struct sse_text){id, strlen(id) + 1}, &number));
    assert_int_equal(number, 77);
    ring_free(ring);
    ring_free(later);
}

static void a_sleeping_reader_is_woken(void **state)
{
    struct ring *ring = make_ring(0, 0, 0);
    int asleep = ring_attach(ring), awake = ring_attach(ring);

    (void)state;
    ring_begin(ring, asleep);
    ring_begin(ring, awake);
    assert_true(ring_sleep(ring, asleep, 0));
    assert_false(is_readable(ring, asleep));
    publish_number(ring, 1);
    assert_true(is_readable(ring, asleep));
    assert_false(is_readable(ring, awake));
    ring_begin(ring, asleep);
    assert_false(is_readable(ring, asleep));
    /* It has not read the event, so it must not sleep, and its descriptor is readable. */
    assert_false(ring_sleep(ring, asleep, 0));
    assert_true(is_readable(ring, asleep));
    publish_number(ring, 2);
    ring_begin(ring, asleep);
    assert_true(ring_sleep(ring, asleep, 2));
    assert_false(is_readable(ring, asleep));
    ring_free(ring);
}

/* However often it is woken without reading. */
static void a_full_pipe_delays_nobody(void **state)
{
    struct ring *ring = make_ring(1024, 5, 0 + 256);
    int place = ring_attach(ring);

    (void)state;
    assert_true(ring_sleep(ring, place, 0));
    for (uint64_t number = 1; number <= 100000; number++)
        publish_number(ring, number);
    assert_true(is_readable(ring, place));
    ring_begin(ring, place);
    assert_false(is_readable(ring, place));
    ring_free(ring);
}

/* This finds an event that a process published before it died without waking anyone. */
static void who_attaches_wakes_the_others(void **state)
{
    struct ring *ring = make_ring(0, 0, 0);
    int place = ring_attach(ring);

    (void)state;
    assert_true(ring_sleep(ring, place, 0));
    assert_false(is_readable(ring, place));
    assert_true(ring_attach(ring) >= 0);
    assert_true(is_readable(ring, place));
    ring_free(ring);
}

static void places_are_given_back(void **state)
{
    struct ring *ring = make_ring(0, 0, 0);
    int places[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        places[i] = ring_attach(ring);
    assert_int_equal(ring_attach(ring), -EAGAIN);
    ring_detach(ring, places[1]);
    assert_int_equal(ring_attach(ring), places[1]);
    ring_free(ring);
}

static pid_t run_child(void (*body)(struct ring *ring), struct ring *ring)
{
    pid_t child = fork();
    int status;

    if (!child) {
        body(ring);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return child;
}

static void attach_and_sleep(struct ring *ring)
{
    int place = ring_attach(ring);

    if (place < 0 || !ring_sleep(ring, place, ring_newest(ring)))
        _exit(1);
}

/* They did not detach, like a killed process. */
static void the_places_of_the_dead_are_free(void **state)
{
    struct ring *ring = make_ring(0, 0, 0);
    int place;

    (void)state;
    for (int i = 0; i < 10; i++)
        run_child(attach_and_sleep, ring);
    publish_number(ring, 1);
    for (int i = 0; i < 3; i++) {
        place = ring_attach(ring);
        assert_true(place >= 0);
        ring_begin(ring, place);
        assert_false(is_readable(ring, place));
    }
    assert_int_equal(ring_attach(ring), -EAGAIN);
    ring_free(ring);
}

static void publish_three(struct ring *ring)
{
    for (uint64_t number = ring_newest(ring) + 1, last = number + 2; number <= last; number++)
        publish_number(ring, number);
}

static void processes_share_it(void **state)
{
    struct ring *ring = make_ring(0, 0, 0);
    int place = ring_attach(ring);

    (void)state;
    assert_true(ring_sleep(ring, place, 0));
    run_child(publish_three, ring);
    publish_three(ring);
    run_child(publish_three, ring);
    assert_int_equal(ring_newest(ring), 9);
    for (uint64_t number = 1; number <= 9; number++)
        assert_number(ring, number);
    assert_true(is_readable(ring, place));
    ring_free(ring);
}

static void nothing_is_left_open(void **state)
{
    int lowest = dup(STDERR_FILENO), after;

    (void)state;
    close(lowest);
    ring_free(make_ring(0, 0, 0));
    ring_free(NULL);
    after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(after, lowest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_comes_back),
        cmocka_unit_test(an_empty_ring_has_nothing),
        cmocka_unit_test(it_retains_so_many_events),
        cmocka_unit_test(it_retains_so_many_bytes),
        cmocka_unit_test(what_is_no_event_is_refused),
        cmocka_unit_test(the_largest_event_has_its_size),
        cmocka_unit_test(options_have_bounds),
        cmocka_unit_test(ids_stand_for_numbers),
        cmocka_unit_test(a_sleeping_reader_is_woken),
        cmocka_unit_test(a_full_pipe_delays_nobody),
        cmocka_unit_test(who_attaches_wakes_the_others),
        cmocka_unit_test(places_are_given_back),
        cmocka_unit_test(the_places_of_the_dead_are_free),
        cmocka_unit_test(processes_share_it),
        cmocka_unit_test(nothing_is_left_open),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

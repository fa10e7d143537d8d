/* SPDX-License-Identifier: MIT */
/* Threads publish into a small ring as fast as they can, and others read it. Every event that is read is complete
 * and has the right number. A reader that is too slow is told so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PUBLISHERS 3
#define READERS 3
#define EVENTS 4000 /* of each publisher */
#define TOTAL ((uint64_t)PUBLISHERS * EVENTS)

struct stage {
    struct ring *ring;
    atomic_uint next; /* publisher */
    atomic_ullong read;
    atomic_ullong lost;
};

/* The events of a publisher contain its number and a count, and repeat a letter. */
static void publish(struct ring *ring, unsigned publisher, unsigned count)
{
    char data[128];
    size_t size = (size_t)snprintf(data, sizeof(data), "%u %u ", publisher, count);

    memset(data + size, 'a' + (int)(count % 26), count % 90);
    assert_int_equal(
        ring_publish(ring, sse_str("t"), &(struct sse_event){.data = {data, size + count % 90}}, NULL), 0);
}

static void *publish_all(void *user)
{
    struct stage *stage = user;
    unsigned publisher = atomic_fetch_add(&stage->next, 1);

    for (unsigned count = 1; count <= EVENTS; count++)
        publish(stage->ring, publisher, count);
    return NULL;
}

static void check(const struct ring_entry *entry, unsigned last[PUBLISHERS])
{
    char data[128];
    unsigned publisher, count;
    int size;

    assert_true(entry->event.data.len < sizeof(data));
    memcpy(data, entry->event.data.ptr, entry->event.data.len);
    data[entry->event.data.len] = '\0';
    assert_int_equal(sscanf(data, "%u %u %n", &publisher, &count, &size), 2);
    assert_true(publisher < PUBLISHERS);
    assert_true(count > last[publisher]);
    last[publisher] = count;
    assert_int_equal(entry->event.data.len, (size_t)size + count % 90);
    for (const char *at = data + size; *at; at++)
        assert_int_equal(*at, 'a' + (int)(count % 26));
}

static void *read_all(void *user)
{
    struct stage *stage = user;
    struct ring *ring = stage->ring;
    struct ring_entry *entry = ring_entry_new(ring);
    unsigned last[PUBLISHERS] = {0};
    uint64_t number = 1;
    int place = ring_attach(ring);
    struct pollfd readable = {.fd = ring_fd(ring, place), .events = POLLIN};

    while (number <= TOTAL) {
        int code = ring_read(ring, number, entry);

        if (code == 1) {
            check(entry, last);
            atomic_fetch_add(&stage->read, 1);
            number++;
        } else if (code == -ENODATA) {
            uint64_t oldest = ring_oldest(ring);

            assert_true(oldest > number);
            atomic_fetch_add(&stage->lost, oldest - number);
            number = oldest;
        } else if (ring_sleep(ring, place, number - 1)) {
            /* Only a publisher wakes it, so a lost wake would make the test hang. */
            assert_int_equal(poll(&readable, 1, 60000), 1);
            ring_begin(ring, place);
        } else {
            ring_begin(ring, place);
        }
    }
    free(entry);
    ring_detach(ring, place);
    return NULL;
}

static void run(size_t events)
{
    const struct ring_options options = {
        .bytes = 1024, .events = events, .event_bytes = 256, .readers = READERS};
    struct stage stage = {.next = 0};
    pthread_t threads[PUBLISHERS + READERS];

    assert_int_equal(ring_create(&stage.ring, &options), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &stage), 0);
    for (int i = READERS; i < READERS + PUBLISHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_all, &stage), 0);
    for (int i = 0; i < READERS + PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ring_newest(stage.ring), TOTAL);
    assert_int_equal(stage.read + stage.lost, READERS * TOTAL);
    printf("%llu read, %llu overtaken\n", stage.read, stage.lost);
    ring_free(stage.ring);
}

static void readers_are_overtaken(void **state)
{
    (void)state;
    run(2);
    run(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_are_overtaken),
    };

    return cmocka_run_group_tests_name("ring, threads", tests, NULL, NULL);
}

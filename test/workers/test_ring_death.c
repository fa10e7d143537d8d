/* SPDX-License-Identifier: MIT */
/* A process dies while it publishes: at each place that ring_memory.h names, and, where the processor can be
 * stepped, at each instruction. The next process finds every event complete, and the next number free. */
#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#if defined(__linux__) && defined(__x86_64__) && !defined(IS_SANITIZED)
#define CAN_STEP 1
#include <sys/ptrace.h>
#endif

/* So few that an event discards others, and that the numbers of places and of words wrap around. */
#define EVENTS 4
#define NEVER 1000

static enum ring_stop stop_at = (enum ring_stop)NEVER;
static int stop_signal;

void ring_stop(enum ring_stop place)
{
    if (place == stop_at)
        raise(stop_signal);
}

/** A ring, and the expected content of its newest events. */
struct stage {
    struct ring *ring;
    char texts[8][64]; /* of event n: n % 8 */
};

static const char *text_of(uint64_t attempt, char *text)
{
    memset(text, 'a' + (int)(attempt % 26), 63);
    text[(attempt * 7) % 60] = '\0';
    return text;
}

static void stage_open(struct stage *stage)
{
    const struct ring_options options = {.bytes = 1024, .events = EVENTS, .event_bytes = 256, .readers = 1};

    *stage = (struct stage){.ring = NULL};
    assert_int_equal(ring_create(&stage->ring, &options), 0);
}

static int publish(struct stage *stage, uint64_t attempt)
{
    char text[64];

    return ring_publish(stage->ring, sse_str("t"),
                        &(struct sse_event){.data = sse_str(text_of(attempt, text))}, NULL);
}

/* Every retained event is complete. The discarded ones are the oldest. */
static void check(struct stage *stage)
{
    const uint64_t newest = ring_newest(stage->ring), oldest = ring_oldest(stage->ring);
    struct ring_entry *entry = ring_entry_new(stage->ring);

    assert_true(oldest + EVENTS > newest && oldest <= newest + 1);
    for (uint64_t number = oldest; number <= newest; number++) {
        const char *text = stage->texts[number % 8];

        assert_int_equal(ring_read(stage->ring, number, entry), 1);
        assert_int_equal(entry->event.data.len, strlen(text));
        assert_memory_equal(entry->event.data.ptr, text, strlen(text));
    }
    free(entry);
}

/* Examines the state that a dead publisher has left, and publishes another event. Returns whether the dead process
 * had published. */
static bool take_over(struct stage *stage, uint64_t before, uint64_t attempt)
{
    const uint64_t after = ring_newest(stage->ring);

    assert_true(after == before || after == before + 1);
    if (after > before)
        text_of(attempt, stage->texts[after % 8]);
    check(stage);
    text_of(attempt + 13, stage->texts[(after + 1) % 8]);
    assert_int_equal(publish(stage, attempt + 13), 0);
    assert_int_equal(ring_newest(stage->ring), after + 1);
    check(stage);
    return after > before;
}

static void fill(struct stage *stage)
{
    for (uint64_t number = 1; number <= 6; number++) {
        text_of(number, stage->texts[number % 8]);
        assert_int_equal(publish(stage, number), 0);
    }
    check(stage);
}

/* Returns whether it had published. */
static bool die_at(struct stage *stage, enum ring_stop place, uint64_t attempt)
{
    const uint64_t before = ring_newest(stage->ring);
    pid_t child = fork();
    int status;

    if (!child) {
        stop_at = place;
        stop_signal = SIGKILL;
        publish(stage, attempt);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return take_over(stage, before, attempt);
}

static void it_dies_at_each_place(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage);
    for (uint64_t attempt = 0; attempt < 300; attempt++) {
        for (enum ring_stop place = RING_STOP_PACKED; place <= RING_STOP_UNLOCKED; place++)
            assert_int_equal(die_at(&stage, place, attempt), place >= RING_STOP_PUBLISHED);
    }
    ring_free(stage.ring);
}

static void many_die_in_a_row(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage);
    fill(&stage);
    for (uint64_t attempt = 0; attempt < 200; attempt++) {
        const uint64_t before = ring_newest(stage.ring);
        pid_t child = fork();

        if (!child) {
            stop_at = (enum ring_stop)(attempt % RING_STOP_PUBLISHED);
            stop_signal = SIGKILL;
            publish(&stage, attempt);
            _exit(0);
        }
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(ring_newest(stage.ring), before);
        check(&stage);
    }
    (void)take_over(&stage, ring_newest(stage.ring), 5);
    ring_free(stage.ring);
}

/* It has the lock, and is alive. */
static void one_that_is_stopped_lets_nobody_wait_for_long(void **state)
{
    struct stage stage;
    uint64_t before;
    pid_t child;
    int status;

    (void)state;
    stage_open(&stage);
    fill(&stage);
    before = ring_newest(stage.ring);
    child = fork();
    if (!child) {
        stop_at = RING_STOP_HALF;
        stop_signal = SIGSTOP;
        _exit(publish(&stage, 7) != 0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    check(&stage);
    assert_int_equal(publish(&stage, 8), -ETIMEDOUT);
    assert_int_equal(ring_newest(stage.ring), before);
    check(&stage);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(take_over(&stage, before, 7));
    ring_free(stage.ring);
}

#ifdef CAN_STEP

/* Steps the process from just before it takes the lock until it has published. Returns 0 if stepping is
 * impossible. */
static pid_t start_stepped(struct stage *stage, uint64_t attempt)
{
    pid_t child = fork();
    int status;

    if (!child) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(1);
        stop_at = RING_STOP_PACKED;
        stop_signal = SIGSTOP;
        publish(stage, attempt);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSTOPPED(status) ? child : 0;
}

/* Returns false if it has published in fewer instructions. */
static bool step(pid_t child, unsigned count)
{
    int status = 0;

    while (count-- > 0) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGSTOP)
            return false;
    }
    return true;
}

static void it_dies_at_each_instruction(void **state)
{
    unsigned instructions = 0, published = 0;
    bool alive = true;
    struct stage stage;

    (void)state;
    stage_open(&stage);
    fill(&stage);
    while (alive) {
        const uint64_t before = ring_newest(stage.ring);
        pid_t child = start_stepped(&stage, instructions);

        if (!child)
            skip();
        alive = step(child, instructions);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        published += take_over(&stage, before, instructions);
        instructions++;
    }
    printf("%u instructions, %u of them after the event was published\n", instructions, published);
    assert_true(published > 1 && published < instructions - 1);
    ring_free(stage.ring);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_dies_at_each_place),
        cmocka_unit_test(many_die_in_a_row),
        cmocka_unit_test(one_that_is_stopped_lets_nobody_wait_for_long),
#ifdef CAN_STEP
        cmocka_unit_test(it_dies_at_each_instruction),
#endif
    };

    return cmocka_run_group_tests_name("ring, death", tests, NULL, NULL);
}

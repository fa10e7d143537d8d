/* SPDX-License-Identifier: MIT */
#include "ledger.h"
#include "soak.h"

#include <errno.h>

/* Emitters at one time, and batches between two comparisons. */
#define BATCH 100
#define TOPICS 10
#define COMPARISONS 20
#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

enum ending { COMPLETE, ABORT, CLOSE, BREAK, STALL, LIFETIME, OVERFLOW, ENDINGS };

struct life {
    struct sse_emitter *emitter;
    enum ending ending;
    bool broken; /* its output fails from now on */
    bool full;   /* its output accepts nothing */
    unsigned ends;
};

static struct ledger ledger;
static struct sse_registry *registry;
static struct sse_loop *loop;
static struct life lives[BATCH];

static ssize_t take(void *user, const struct iovec *iov, int count)
{
    const struct life *life = user;
    ssize_t size = 0;

    if (life->broken)
        return -ECONNRESET;
    if (life->full)
        return -EAGAIN;
    for (int i = 0; i < count; i++)
        size += (ssize_t)iov[i].iov_len;
    return size;
}

static void ended(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct life *life = user;

    (void)completion;
    ledger.completed++;
    if (++life->ends != 1)
        ledger_fail("ended more than once", life->ends);
    life->emitter = NULL;
    sse_emitter_close(emitter);
}

static void released(void *user)
{
    (void)user;
    ledger.released++;
}

static void ignore_wake(struct sse_loop *woken, void *user)
{
    (void)woken;
    (void)user;
}

static void turn(void)
{
    int next;

    do
        next = sse_loop_turn(loop);
    while (!next);
    ledger_check(next < -1 ? next : 0, "turn");
}

static struct sse_text topic(void)
{
    static const char names[TOPICS + 1] = "abcdefghij";

    return (struct sse_text){.ptr = names + ledger_random(&ledger, TOPICS), .len = 1};
}

static void open_life(struct life *life)
{
    const struct sse_text topics[2] = {topic(), topic()};
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = &ledger.platform,
        .registry = registry,
        .loop = loop,
        .topics = topics,
        .topic_count = 1 + ledger_random(&ledger, 2),
        .last_event_id = ledger_random(&ledger, 4) ? sse_str(NULL) : sse_str("soak-0000000000000001"),
        .output = SSE_OUTPUT_CALLBACK,
        .write = take,
        .queue_messages = 8,
        .lifetime_ms = 600000,
        .on_completion = ended,
        .on_release = released,
        .user = life,
    };

    *life = (struct life){.ending = (enum ending)ledger_random(&ledger, ENDINGS)};
    ledger_check(sse_emitter_new(&life->emitter, &options, NULL), "new");
    ledger.opened++;
}

static void publish(size_t count)
{
    const struct sse_event event = {.data = sse_str("one of very many events")};

    for (size_t i = 0; i < count; i++)
        ledger_check(sse_registry_publish(registry, topic(), &event, NULL), "publish");
}

static void begin_end(struct life *life)
{
    life->broken = life->ending == BREAK;
    life->full = life->ending == STALL || life->ending == OVERFLOW;
    if (life->ending == COMPLETE)
        ledger_check(sse_emitter_complete(life->emitter), "complete");
    else if (life->ending == ABORT)
        ledger_check(sse_emitter_abort(life->emitter, -EPIPE), "abort");
    else if (life->ending == CLOSE)
        sse_emitter_close(life->emitter);
}

/* A batch lives for eleven minutes of its own clock, so the heartbeats, stalls and lifetimes of the remaining
 * emitters become due. */
static void run_batch(void)
{
    for (size_t i = 0; i < BATCH; i++)
        open_life(&lives[i]);
    turn();
    publish(20);
    turn();
    for (size_t i = 0; i < BATCH; i++)
        begin_end(&lives[i]);
    publish(200);
    turn();
    for (int step = 0; step < 22; step++) {
        ledger.now += 30 * NANOSECONDS_PER_SECOND;
        turn();
    }
    for (size_t i = 0; i < BATCH; i++)
        if (lives[i].ends != 1)
            ledger_fail("not ended; its way to end", (uint64_t)lives[i].ending);
}

void soak_lifecycles(uint64_t count, uint64_t seed)
{
    struct sse_registry_options options = {.size = sizeof(options),
                                           .platform = &ledger.platform,
                                           .history = {.events = 1000},
                                           .history_age_ms = 300000,
                                           .id_prefix = sse_str("soak")};
    const struct sse_loop_options driven = {
        .size = sizeof(driven), .platform = &ledger.platform, .on_wake = ignore_wake};
    uint64_t batches = (count + BATCH - 1) / BATCH, part = batches / COMPARISONS + 1;

    ledger_init(&ledger, true, seed);
    ledger_check(sse_registry_new(&registry, &options), "registry");
    ledger_check(sse_loop_new(&loop, &driven), "loop");
    for (uint64_t i = 1; i <= batches; i++) {
        run_batch();
        if (i % part == 0 || i == batches)
            ledger_compare(&ledger, registry);
    }
    sse_loop_free(loop);
    sse_registry_unref(registry);
    ledger_close(&ledger);
}

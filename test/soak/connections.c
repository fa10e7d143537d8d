/* SPDX-License-Identifier: MIT */
#include "ledger.h"
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections at one time, and batches between two comparisons. */
#define BATCH 200
#define COMPARISONS 20

enum ending { COMPLETE, ABORT, CLOSE, LEAVE, LEAVE_HALF, OVERFLOW, ENDINGS };

struct connection {
    struct sse_emitter *emitter;
    enum ending ending;
    int client; /* the other end */
    unsigned ends;
};

static struct ledger ledger;
static struct sse_registry *registry;
static struct sse_loop *loop;
static struct connection connections[BATCH];

static void ended(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct connection *connection = user;

    (void)completion;
    ledger.completed++;
    if (++connection->ends != 1)
        ledger_fail("ended more than once", connection->ends);
    connection->emitter = NULL;
    sse_emitter_close(emitter);
}

static void released(void *user)
{
    (void)user;
    ledger.released++;
}

static void open_connection(struct connection *connection)
{
    const struct sse_http_options http = {.size = sizeof(http), .chunked = ledger_random(&ledger, 2) != 0};
    const struct sse_text topic = sse_str("all");
    struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = &ledger.platform,
        .registry = registry,
        .loop = loop,
        .topics = &topic,
        .topic_count = 1,
        .output = SSE_OUTPUT_FD,
        .http = &http,
        .queue_bytes = 4096,
        .drain_ms = 50,
        .on_completion = ended,
        .on_release = released,
        .user = connection,
    };
    int pair[2];

    ledger_check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -errno : 0, "socketpair");
    options.fd = pair[0];
    *connection =
        (struct connection){.ending = (enum ending)ledger_random(&ledger, ENDINGS), .client = pair[1]};
    ledger_check(sse_emitter_new(&connection->emitter, &options, NULL), "new");
    ledger.opened++;
}

static void read_all(int client)
{
    char bytes[65536];

    while (recv(client, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

static void begin_end(struct connection *connection)
{
    switch (connection->ending) {
    case COMPLETE:
        ledger_check(sse_emitter_complete(connection->emitter), "complete");
        break;
    case ABORT:
        ledger_check(sse_emitter_abort(connection->emitter, -EPIPE), "abort");
        break;
    case CLOSE:
        sse_emitter_close(connection->emitter);
        break;
    case LEAVE:
        close(connection->client);
        connection->client = -1;
        break;
    case LEAVE_HALF:
        (void)shutdown(connection->client, SHUT_WR);
        break;
    default:
        break; /* OVERFLOW stops reading */
    }
}

static void publish(size_t size)
{
    static char data[65536];
    const struct sse_event event = {.data = {.ptr = data, .len = size}};

    memset(data, 'x', size);
    ledger_check(sse_registry_publish(registry, sse_str("all"), &event, NULL), "publish");
}

static void dispatch(void)
{
    ledger_check(sse_loop_dispatch(loop, 0), "dispatch");
}

/* Ends the rest: half-closed ones, and those that stopped reading while the kernel still had room. */
static void end_rest(void)
{
    for (size_t i = 0; i < BATCH; i++) {
        if (connections[i].client < 0)
            continue;
        read_all(connections[i].client);
        close(connections[i].client);
    }
    while (sse_loop_count(loop))
        ledger_check(sse_loop_dispatch(loop, 10), "dispatch");
}

static void run_batch(void)
{
    for (size_t i = 0; i < BATCH; i++)
        open_connection(&connections[i]);
    dispatch();
    publish(100);
    dispatch();
    for (size_t i = 0; i < BATCH; i++)
        begin_end(&connections[i]);
    for (int i = 0; i < 4; i++) {
        publish(1000);
        dispatch();
        for (size_t at = 0; at < BATCH; at++)
            if (connections[at].client >= 0 && connections[at].ending != OVERFLOW)
                read_all(connections[at].client);
    }
    end_rest();
}

void soak_connections(uint64_t count, uint64_t seed)
{
    struct sse_registry_options options = {.size = sizeof(options), .platform = &ledger.platform};
    const struct sse_loop_options polled = {.size = sizeof(polled), .platform = &ledger.platform};
    uint64_t batches = (count + BATCH - 1) / BATCH, part = batches / COMPARISONS + 1;

    ledger_init(&ledger, false, seed);
    ledger_check(sse_registry_new(&registry, &options), "registry");
    ledger_check(sse_loop_new(&loop, &polled), "loop");
    for (uint64_t i = 1; i <= batches; i++) {
        run_batch();
        if (i % part == 0 || i == batches)
            ledger_compare(&ledger, registry);
    }
    sse_loop_free(loop);
    sse_registry_unref(registry);
    ledger_close(&ledger);
}

/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "peer.h"
#include "server.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static void happen(void)
{
    server.progress++;
}

/* Callbacks */

static struct client *check_thread(void *user)
{
    struct client *client = user;

    expect(client->loop == NO_LOOP || server.loops[client->loop].inside, "a callback outside of a turn");
    expect(!client->completions, "a callback after the end");
    happen();
    return client;
}

/* Accepts a piece, or a part of it. */
static size_t receive(struct client *client, const struct iovec *piece)
{
    size_t size = piece->iov_len < client->room ? piece->iov_len : client->room;

    expect(client->size + size <= RECEIVED_MAX, "too many bytes");
    memcpy(client->received + client->size, piece->iov_base, size);
    client->size += size;
    client->room -= client->room == SIZE_MAX ? 0 : size;
    return size;
}

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    struct client *client = user;
    size_t size = 0;

    expect(client->loop == NO_LOOP || server.loops[client->loop].inside, "a write outside of a turn");
    expect(!client->completions, "a write after the end");
    if (!client->reads || !client->room) {
        client->room = SIZE_MAX;
        return -EAGAIN;
    }
    for (int i = 0; i < count; i++)
        size += receive(client, &iov[i]);
    happen();
    return (ssize_t)size;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct client *client = check_thread(user);

    (void)emitter;
    client->readable |= (what & SSE_READABLE) != 0;
    client->blocked |= (what & SSE_BLOCKED) != 0;
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    (void)reason;
    check_thread(user)->timeouts++;
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct client *client = check_thread(user);

    (void)emitter;
    client->errors++;
    client->error = error;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = check_thread(user);
    struct sse_text id = completion->last_event_id;

    (void)emitter;
    client->completions++;
    client->completion = *completion;
    expect(id.len < sizeof(client->last_id), "an id that is too long");
    if (id.len)
        memcpy(client->last_id, id.ptr, id.len);
    client->last_id[id.len] = '\0';
}

static void on_release(void *user)
{
    struct client *client = user;

    happen();
    client->releases++;
}

static enum sse_output output_of(enum client_kind kind)
{
    if (kind == CLIENT_CALLBACK)
        return SSE_OUTPUT_CALLBACK;
    return kind == CLIENT_PULL ? SSE_OUTPUT_PULL : SSE_OUTPUT_FD;
}

/* Without MSG_DONTWAIT, a blocking socket is written byte by byte. Only a few block, to save time. */
static bool may_block(size_t which)
{
    return which >= 6;
}

struct client *client_prepare(size_t which, enum client_kind kind, int loop)
{
    struct client *client = &server.clients[which];

    expect(!client->used, "a client that is there already");
    memset(client, 0, offsetof(struct client, received));
    client->used = true;
    client->kind = kind;
    client->loop = loop;
    client->server_fd = client->fd = -1;
    client->reads = client->readable = true;
    client->room = SIZE_MAX;
    peer_open(client);
    if (kind == CLIENT_SOCKET && !may_block(which))
        peer_make_nonblocking(client->server_fd);
    client->options = (struct sse_emitter_options){
        .size = sizeof(client->options),
        .platform = &server.fake.platform,
        .registry = loop == NO_LOOP && kind != CLIENT_PULL ? NULL : server.registry,
        .loop = loop == NO_LOOP ? NULL : server.loops[loop].loop,
        .output = output_of(kind),
        .fd = client->server_fd < 0 ? 0 : client->server_fd,
        .write = kind == CLIENT_CALLBACK ? on_write : NULL,
        .start_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .drain_ms = SSE_TIMER_OFF,
        .heartbeat_ms = SSE_TIMER_OFF,
        .on_ready = loop == NO_LOOP ? NULL : on_ready,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };
    return client;
}

/* Reading what has arrived */

/* With a loop it reads only after on_ready, so that a lost wake is noticed. */
static void pull(struct client *client)
{
    ssize_t size = 1;

    if (client->loop != NO_LOOP && !client->readable)
        return;
    client->readable = false;
    while (size > 0) {
        size =
            sse_emitter_read(client->emitter, client->received + client->size, RECEIVED_MAX - client->size);
        if (size > 0) {
            client->size += (size_t)size;
            happen();
        }
    }
}

/* Whether an output counts as full although it has room. */
static bool has_hidden_room(void)
{
    const struct fault *fault = fault_last();

    return fault->kind == FAULT_CALL && (fault->error == EAGAIN || fault->call == FAULTY_POLL);
}

/* epoll reports room once, when it begins. If the room was there all along, this check replaces the report: the
 * kernel returns EAGAIN only if there will be room later, and with epoll, a poll of one descriptor needs no
 * memory. */
static bool waits_for_the_kernel(const struct client *client)
{
    return has_hidden_room() && (server.kind == LOOP_EPOLL || client->kind == CLIENT_FILE) &&
           client->options.output == SSE_OUTPUT_FD && client_info(client).queued_messages &&
           peer_has_room(client);
}

/* The output has room and accepts nothing, or its room cannot be seen. Waiting for it would never end. */
static bool never_takes(void)
{
    return fault_has_struck() && fault_last()->for_good && has_hidden_room();
}

/* The work of an owner whose emitter has no loop, or whose loop does not watch its descriptor. */
static void flush_if_due(struct client *client)
{
    bool is_fd = client->options.output == SSE_OUTPUT_FD;
    bool has_been_blocked = client->blocked && (!is_fd || peer_has_room(client)) && client->reads;

    if (client->loop != NO_LOOP && !has_been_blocked && !waits_for_the_kernel(client))
        return;
    if (client->loop != NO_LOOP && never_takes())
        return;
    client->blocked = false;
    if (client->kind != CLIENT_PULL)
        (void)sse_emitter_flush(client->emitter);
    /* The loop must do the work now. */
    if (client->loop != NO_LOOP)
        happen();
}

void client_take(struct client *client)
{
    flush_if_due(client);
    if (!client->reads)
        return;
    if (client->kind == CLIENT_PULL)
        pull(client);
    else
        peer_take(client);
}

void client_read(struct client *client, bool reads)
{
    bool is_new = reads && !client->reads;

    client->reads = reads;
    if (is_new && client->kind == CLIENT_CALLBACK && client->emitter)
        (void)sse_emitter_flush(client->emitter);
}

static bool is_owned_by_library(const struct client *client)
{
    return client->options.output == SSE_OUTPUT_FD && !client->options.keep_fd;
}

/* If the kernel says that the descriptor is not open, the library must not close it. */
static bool was_taken_for_closed(void)
{
    return fault_last()->kind == FAULT_CALL && fault_last()->call == FAULTY_FSTAT && fault_errno() == EBADF;
}

void client_end(struct client *client)
{
    peer_take(client);
    client_audit(client);
    if (is_owned_by_library(client) && !was_taken_for_closed())
        expect(!peer_is_open(client), "a descriptor stayed open");
    else if (client->server_fd >= 0 && peer_is_open(client))
        peer_close_fd(&client->server_fd);
    peer_close_fd(&client->fd);
    client->used = false;
}

void client_give_up(struct client *client)
{
    expect(client->server_fd < 0 || peer_is_open(client), "a descriptor is not the caller's any more");
    peer_take(client);
    expect(!client->size, "bytes in spite of an error");
    expect(!client->completions && !client->releases, "callbacks in spite of an error");
    peer_close_fd(&client->server_fd);
    peer_close_fd(&client->fd);
    client->used = false;
}

struct sse_emitter_info client_info(const struct client *client)
{
    struct sse_emitter_info info;

    expect(!sse_emitter_get_info(client->emitter, &info, sizeof(info)), "no info");
    return info;
}

bool client_is_open(const struct client *client)
{
    return client->emitter && client_info(client).state == SSE_STATE_OPEN;
}

void numbers_add(struct numbers *numbers, unsigned number)
{
    expect(numbers->count < OFFERED_MAX, "too many events");
    numbers->of[numbers->count++] = number;
}

void client_offer_later(struct client *client, bool gap_filled)
{
    struct numbers *later = &client->later;
    size_t first = client->gap_is_unknown && !gap_filled ? client->replay.messages : 0;

    if (client->gap && !gap_filled && server.tells_gap)
        numbers_add(&client->offered, GAP_EVENT);
    for (size_t i = first; i < later->count; i++)
        numbers_add(&client->offered, later->of[i]);
    later->count = 0;
}

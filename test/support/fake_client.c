/* SPDX-License-Identifier: MIT */
#include "fake_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what)
{
    fprintf(stderr, "fake client: %s\n", what);
    abort();
}

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    return fake_sink_write(&((struct fake_client *)user)->sink, iov, count);
}

static void act(struct fake_client *client)
{
    if (client->act)
        client->act(client, client->act_user);
}

static void on_ready(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    ((struct fake_client *)user)->ready++;
    act(user);
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    ((struct fake_client *)user)->blocked++;
    act(user);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter, (void)reason;
    ((struct fake_client *)user)->timeouts++;
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct fake_client *client = user;

    (void)emitter;
    client->errors++;
    client->error = error;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct fake_client *client = user;

    (void)emitter;
    client->completions++;
    client->completion = *completion;
    if (completion->last_event_id.len >= sizeof(client->last_id))
        fail("an id that is too long to be kept");
    if (completion->last_event_id.len)
        memcpy(client->last_id, completion->last_event_id.ptr, completion->last_event_id.len);
    client->last_id[completion->last_event_id.len] = '\0';
}

static void on_release(void *user)
{
    ((struct fake_client *)user)->releases++;
}

void fake_client_init(struct fake_client *client, struct fake_host *host, enum sse_drain drain)
{
    *client = (struct fake_client){.emitter = NULL};
    fake_sink_init(&client->sink);
    client->options = (struct sse_emitter_options){
        .size = sizeof(client->options),
        .host = &host->host,
        .drain = drain,
        .write = on_write,
        .lifetime_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .drain_ms = SSE_TIMER_OFF,
        .heartbeat_ms = SSE_TIMER_OFF,
        .on_ready = on_ready,
        .on_blocked = on_blocked,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };
}

void fake_client_open(struct fake_client *client)
{
    if (sse_emitter_new(&client->emitter, &client->options))
        fail("no emitter");
}

void fake_client_new(struct fake_client *client, struct fake_host *host, enum sse_drain drain)
{
    fake_client_init(client, host, drain);
    fake_client_open(client);
}

ssize_t fake_client_pull(struct fake_client *client)
{
    char buffer[1000];
    ssize_t size;

    while ((size = sse_emitter_read(client->emitter, buffer, sizeof(buffer))) > 0)
        (void)fake_sink_write(&client->sink, &(struct iovec){buffer, (size_t)size}, 1);
    return size;
}

const char *fake_client_text(struct fake_client *client)
{
    free(client->text);
    client->text = malloc(client->sink.size + 1);
    if (!client->text)
        fail("out of memory");
    if (client->sink.size)
        memcpy(client->text, client->sink.bytes, client->sink.size);
    client->text[client->sink.size] = '\0';
    return client->text;
}

void fake_client_forget(struct fake_client *client)
{
    client->sink.size = 0;
}

void fake_client_make_room(struct fake_client *client, size_t room)
{
    client->sink.room = room;
    (void)sse_emitter_flush(client->emitter);
}

struct sse_emitter_info fake_client_info(const struct fake_client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    if (sse_emitter_info(client->emitter, &info))
        fail("no info");
    return info;
}

void fake_client_free(struct fake_client *client)
{
    if (client->emitter)
        (void)sse_emitter_detach(client->emitter);
    sse_emitter_unref(client->emitter);
    client->emitter = NULL;
    free(client->text);
    client->text = NULL;
    fake_sink_free(&client->sink);
}

void fake_clients_free(struct fake_client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (clients[i].emitter)
            fake_client_free(&clients[i]);
}

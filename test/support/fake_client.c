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

static struct fake_client *check_thread(void *user)
{
    struct fake_client *client = user;

    if (client->loop ? !fake_loop_is_inside(client->loop) : !pthread_equal(client->owner, pthread_self()))
        fail("a callback outside of the owner's calls");
    return client;
}

static void note(struct fake_client *client, char letter)
{
    size_t length = strlen(client->log);

    if (length + 1 < sizeof(client->log))
        client->log[length] = letter;
}

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    return fake_output_write(&check_thread(user)->output, iov, count);
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct fake_client *client = check_thread(user);

    (void)emitter;
    client->readable += (what & SSE_READABLE) != 0;
    client->blocked += (what & SSE_BLOCKED) != 0;
    note(client, what & SSE_BLOCKED ? 'b' : 'r');
    if (!what || what & ~(unsigned)(SSE_READABLE | SSE_BLOCKED))
        fail("on_ready for nothing");
    if (client->act)
        client->act(client, client->act_user);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    struct fake_client *client = check_thread(user);

    (void)emitter;
    client->timeouts++;
    client->timeout = reason;
    note(client, 't');
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    struct fake_client *client = check_thread(user);

    (void)emitter;
    client->errors++;
    note(client, 'e');
    client->error = error;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct fake_client *client = check_thread(user);

    (void)emitter;
    client->completions++;
    note(client, 'c');
    client->completion = *completion;
    if (completion->last_event_id.len >= sizeof(client->last_id))
        fail("an id that is too long to be kept");
    if (completion->last_event_id.len)
        memcpy(client->last_id, completion->last_event_id.ptr, completion->last_event_id.len);
    client->last_id[completion->last_event_id.len] = '\0';
}

/* Once its loop is freed, it runs where the last reference is released. */
static void on_release(void *user)
{
    struct fake_client *client = user;

    if (client->loop && client->loop->loop)
        check_thread(user);
    client->releases++;
    note(client, 'x');
}

void fake_client_init(struct fake_client *client, struct fake_platform *fake, enum sse_output output)
{
    *client = (struct fake_client){.emitter = NULL, .owner = pthread_self()};
    fake_output_init(&client->output);
    client->options = (struct sse_emitter_options){
        .size = sizeof(client->options),
        .platform = &fake->platform,
        .output = output,
        .write = output == SSE_OUTPUT_CALLBACK ? on_write : NULL,
        .start_ms = SSE_TIMER_OFF,
        .lifetime_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .drain_ms = SSE_TIMER_OFF,
        .heartbeat_ms = SSE_TIMER_OFF,
        .on_timeout = on_timeout,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };
}

int fake_client_try_open(struct fake_client *client)
{
    client->options.loop = client->loop ? client->loop->loop : NULL;
    client->options.on_ready = client->loop ? on_ready : NULL;
    return sse_emitter_new(&client->emitter, &client->options, &client->replay);
}

void fake_client_open(struct fake_client *client)
{
    if (fake_client_try_open(client))
        fail("no emitter");
}

void fake_client_new(struct fake_client *client, struct fake_platform *fake, enum sse_output output,
                     struct fake_loop *loop)
{
    fake_client_init(client, fake, output);
    client->loop = loop;
    fake_client_open(client);
}

ssize_t fake_client_pull(struct fake_client *client)
{
    char buffer[1000];
    ssize_t size;

    while ((size = sse_emitter_read(client->emitter, buffer, sizeof(buffer))) > 0)
        (void)fake_output_write(&client->output, &(struct iovec){buffer, (size_t)size}, 1);
    return size;
}

const char *fake_client_text(struct fake_client *client)
{
    free(client->text);
    client->text = malloc(client->output.size + 1);
    if (!client->text)
        fail("out of memory");
    if (client->output.size)
        memcpy(client->text, client->output.bytes, client->output.size);
    client->text[client->output.size] = '\0';
    return client->text;
}

const char *fake_client_events(struct fake_client *client)
{
    const char *text = fake_client_text(client);

    return strncmp(text, ":\n", 2) ? text : text + 2;
}

void fake_client_forget(struct fake_client *client)
{
    client->output.size = 0;
}

void fake_client_make_room(struct fake_client *client, size_t room)
{
    client->output.room = room;
    (void)sse_emitter_flush(client->emitter);
    if (client->loop)
        (void)fake_loop_turn(client->loop);
}

struct sse_emitter_info fake_client_info(const struct fake_client *client)
{
    struct sse_emitter_info info;

    if (sse_emitter_get_info(client->emitter, &info, sizeof(info)))
        fail("no info");
    return info;
}

void fake_client_free(struct fake_client *client)
{
    bool was_open = client->emitter != NULL;

    sse_emitter_close(client->emitter);
    client->emitter = NULL;
    if (was_open && client->loop && client->loop->loop)
        (void)fake_loop_settle(client->loop);
    if (was_open && client->releases != 1)
        fail("not released, or twice");
    free(client->text);
    client->text = NULL;
    fake_output_free(&client->output);
}

void fake_clients_free(struct fake_client *clients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fake_client_free(&clients[i]);
}

/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"
#include "base/platform.h"

#include <errno.h>
#include <unistd.h>

#define DEFAULT_QUEUE_BYTES ((size_t)1 << 20)
#define DEFAULT_QUEUE_MESSAGES 4096
#define DEFAULT_START_MS 30000

static bool output_is_valid(const struct sse_emitter_options *options)
{
    switch (options->output) {
    case SSE_OUTPUT_FD:
        return options->fd >= 0 && !options->write;
    case SSE_OUTPUT_CALLBACK:
        return options->write && options->watch_fd >= 0;
    case SSE_OUTPUT_PULL:
        return options->watch_fd >= 0 && !options->write;
    }
    return false;
}

static bool options_are_valid(const struct sse_emitter_options *options)
{
    if (!sse_platform_is_valid(options->platform) || !output_is_valid(options))
        return false;
    if (options->framing != SSE_FRAMING_RAW && options->framing != SSE_FRAMING_CHUNKED)
        return false;
    return (unsigned)options->overflow <= SSE_OVERFLOW_COALESCE && options->start_ms >= SSE_TIMER_OFF;
}

/* The kind of the output, or a negative errno. */
static int identify_output(const struct sse_emitter_options *options, struct output_file *file)
{
    struct output_file watched;
    int kind;

    if (options->output == SSE_OUTPUT_FD)
        return sse_output_identify(options->fd, file);
    if (options->watch_fd) {
        kind = sse_output_identify(options->watch_fd, &watched);
        if (kind < 0)
            return kind;
    }
    return options->output == SSE_OUTPUT_CALLBACK ? OUTPUT_CALLBACK : OUTPUT_PULL;
}

static void set_output(struct sse_emitter *emitter, const struct sse_emitter_options *options,
                       const struct output_file *file, struct output_file *kept_file)
{
    emitter->output.user = options->user;
    emitter->owned = options->output == SSE_OUTPUT_FD && !options->keep_fd;
    if (emitter->output_kind == OUTPUT_SOCKET)
        emitter->output.number = options->fd;
    if (emitter->output_kind == OUTPUT_CALLBACK)
        emitter->output.callback = options->write;
    if (emitter->output_kind == OUTPUT_FILE) {
        *kept_file = *file;
        emitter->output.file = kept_file;
    }
}

static size_t aligned_for_file(size_t offset)
{
    const size_t alignment = _Alignof(struct output_file);

    return (offset + alignment - 1) / alignment * alignment;
}

static void init_queue(struct queue *queue, const struct sse_emitter_options *options)
{
    bool chunked = options->http ? options->http->chunked : options->framing == SSE_FRAMING_CHUNKED;
    size_t messages = options->queue_messages ? options->queue_messages : DEFAULT_QUEUE_MESSAGES;

    sse_queue_init(queue, chunked, options->queue_bytes ? options->queue_bytes : DEFAULT_QUEUE_BYTES,
                   messages < UINT32_MAX ? (uint32_t)messages : UINT32_MAX);
}

/* Allocates the block of an emitter. At its end are the extras that are set, and the identity of a file. */
static int allocate_block(struct sse_emitter **emitter, const struct sse_emitter_options *options)
{
    struct sse_emitter *made;
    struct output_file file;
    int kind = identify_output(options, &file);
    unsigned set = sse_extras_set(options);
    size_t file_offset =
        aligned_for_file(sizeof(*made) + sse_extras_count(set) * sizeof(union emitter_extra));

    if (kind < 0)
        return kind;
    if (sse_process_watch())
        return -ENOMEM;
    made = sse_platform_allocate(
        options->platform, kind == OUTPUT_FILE ? file_offset + sizeof(struct output_file) : file_offset);
    if (!made)
        return -ENOMEM;
    *made = (struct sse_emitter){
        .platform = options->platform,
        .output_kind = (unsigned)kind & 3,
        .extras_set = set & EXTRAS_ALL,
        .overflow = (unsigned)options->overflow & 3,
        .opening = true,
        .armed = kind == OUTPUT_PULL,
        .timer = {.deadline = DEADLINE_NEVER, .position = HEAP_NOWHERE, .mark = process_current()},
    };
    sse_extras_copy(made->extras, options);
    set_output(made, options, &file, (struct output_file *)(void *)((char *)made + file_offset));
    atomic_init(&made->refs, 2);
    if (pthread_mutex_init(&made->lock, NULL)) {
        sse_platform_deallocate(options->platform, made);
        return -ENOMEM;
    }
    made->created = sse_platform_now(options->platform);
    init_queue(&made->queue, options);
    *emitter = made;
    return 0;
}

static int begin_paused(struct sse_emitter *emitter, const struct sse_emitter_options *options)
{
    struct pause *pause;
    uint64_t longest = duration_from_ms(options->start_ms ? options->start_ms : DEFAULT_START_MS);

    if (!options->paused)
        return 0;
    pause = sse_platform_allocate(emitter->platform, sizeof(*pause));
    if (!pause)
        return -ENOMEM;
    if (options->start_ms == SSE_TIMER_OFF)
        longest = DEADLINE_NEVER;
    *pause = (struct pause){.deadline = deadline_after(emitter->created, longest)};
    init_queue(&pause->later, options);
    sse_emitter_set_pause(emitter, pause);
    emitter->paused = true;
    return 0;
}

/* The caller's reference to the message passes to the queue. */
static int queue_first(struct sse_emitter *emitter, struct sse_message *message)
{
    int error = sse_queue_append(&emitter->queue, message, emitter->platform);

    if (error)
        sse_message_unref(message);
    sse_queue_exempt_all(&emitter->queue);
    return error;
}

static int queue_head(struct sse_emitter *emitter, const struct sse_http_options *http)
{
    struct sse_message *head;
    int error = http ? sse_message_new_head(&head, http, emitter->platform) : 0;

    return http && !error ? queue_first(emitter, head) : error;
}

/* Queues a first byte of the body, because some browsers report a stream as open only when it arrives. */
static int queue_retry_or_comment(struct sse_emitter *emitter, int64_t retry_ms)
{
    const struct sse_event event = {.retry_ms = retry_ms};
    struct sse_message *message;
    int error;

    if (!retry_ms)
        return queue_first(emitter, sse_message_heartbeat());
    error = sse_message_new(&message, &event, 1, emitter->platform);
    if (error)
        return error;
    message->events = 0;
    return queue_first(emitter, message);
}

static int fill(struct sse_emitter *emitter, const struct sse_emitter_options *options)
{
    uint64_t random = sse_platform_jitter(options->platform, emitter->created ^ (uintptr_t)emitter);
    int error;

    if (!sse_timers_init(&emitter->timers, options, emitter->created, random))
        return -EINVAL;
    error = begin_paused(emitter, options);
    if (!error)
        error = queue_head(emitter, options->http);
    if (!error)
        error = queue_retry_or_comment(emitter, options->retry_ms);
    return error;
}

int sse_emitter_allocate(struct sse_emitter **emitter, const struct sse_emitter_options *options,
                         struct marks *marks)
{
    struct sse_emitter *made;
    int error;

    if (!options_are_valid(options))
        return -EINVAL;
    error = allocate_block(&made, options);
    if (error)
        return error;
    made->marks = marks;
    made->looped = marks != NULL;
    error = fill(made, options);
    if (error)
        sse_emitter_discard(made);
    else
        *emitter = made;
    return error;
}

static void free_pause(struct sse_emitter *emitter)
{
    struct pause *pause = sse_emitter_pause(emitter);

    if (!pause)
        return;
    sse_queue_clear(&pause->later, emitter->platform);
    sse_platform_deallocate(emitter->platform, pause);
}

void sse_emitter_discard(struct sse_emitter *emitter)
{
    /* The lock makes visible what other threads did before they released their references. */
    pthread_mutex_lock(&emitter->lock);
    sse_queue_clear(&emitter->queue, emitter->platform);
    free_pause(emitter);
    sse_last_id_free(&emitter->last_id, emitter->platform);
    pthread_mutex_unlock(&emitter->lock);
    pthread_mutex_destroy(&emitter->lock);
    sse_platform_deallocate(emitter->platform, emitter);
}

int sse_emitter_check(const struct sse_emitter *emitter)
{
    if (!emitter)
        return -EINVAL;
    return sse_emitter_is_of_this_process(emitter) ? 0 : -EPERM;
}

/* No thread can close the emitter any more. In a forked child it may still be a member of its registry. */
static void leave_group(struct sse_emitter *emitter)
{
    struct emitter_group *group = emitter->group;

    if (!group)
        return;
    group->forget(group, emitter, emitter->created);
    emitter->group = NULL;
    group->done(group);
    group->unref(group);
}

void sse_emitter_free(struct sse_emitter *emitter)
{
    const union emitter_extra *release = sse_emitter_extra(emitter, EXTRA_RELEASE);
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    leave_group(emitter);
    if (release)
        release->on_release(emitter->output.user);
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_discard(emitter);
}

/* Once the last reference is released, only its loop can still reach the emitter. */
void sse_emitter_release(struct sse_emitter *emitter)
{
    struct mark_chain chain = {.to_wake = NULL};
    bool looped;

    if (atomic_fetch_sub_explicit(&emitter->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_lock(&emitter->lock);
    looped = emitter->marks != NULL;
    emitter->released = true;
    if (looped)
        sse_mark_chain_add(&chain, emitter->marks, emitter);
    pthread_mutex_unlock(&emitter->lock);
    if (looped)
        sse_mark_chain_finish(&chain);
    else
        sse_emitter_free(emitter);
}

/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"
#include "base/host.h"
#include "connection/state.h"

#include <errno.h>

#define DEFAULT_QUEUE_BYTES ((size_t)1 << 20)
#define DEFAULT_QUEUE_MESSAGES 4096
#define QUEUE_MESSAGES_MAX ((size_t)1 << 30)

static bool options_are_valid(const struct sse_emitter_options *options)
{
    if (!options || options->size != sizeof(*options) || !sse_host_is_valid(options->host))
        return false;
    if (options->framing != SSE_FRAMING_RAW && options->framing != SSE_FRAMING_CHUNKED)
        return false;
    if ((unsigned)options->overflow > SSE_OVERFLOW_COALESCE || options->queue_messages > QUEUE_MESSAGES_MAX)
        return false;
    if (!options->head.ptr && options->head.len)
        return false;
    switch (options->drain) {
    case SSE_DRAIN_FD:
        return options->fd >= 0;
    case SSE_DRAIN_CALLBACK:
        return options->write != NULL;
    case SSE_DRAIN_PULL:
        return true;
    }
    return false;
}

/* What kind of sink it is to be, or a negative errno. */
static int identify_sink(const struct sse_emitter_options *options, struct sink_file *file)
{
    if (options->drain == SSE_DRAIN_FD)
        return sse_sink_identify(options->fd, file);
    return options->drain == SSE_DRAIN_CALLBACK ? SINK_CALLBACK : SINK_PULL;
}

static void open_sink(struct sse_emitter *emitter, const struct sse_emitter_options *options,
                      const struct sink_file *file, struct sink_file *kept_file)
{
    emitter->sink.user = options->user;
    if (emitter->sink_kind == SINK_SOCKET)
        emitter->sink.number = options->fd;
    if (emitter->sink_kind == SINK_CALLBACK)
        emitter->sink.callback = options->write;
    if (emitter->sink_kind == SINK_FILE) {
        *kept_file = *file;
        emitter->sink.file = kept_file;
    }
}

static void destroy(struct sse_emitter *emitter)
{
    /* Whatever other threads did before they gave their references back is visible from here. */
    pthread_mutex_lock(&emitter->lock);
    sse_queue_clear(&emitter->queue, emitter->host);
    sse_last_id_free(&emitter->last_id, emitter->host);
    pthread_mutex_unlock(&emitter->lock);
    pthread_mutex_destroy(&emitter->lock);
    sse_host_release(emitter->host, emitter);
}

static size_t aligned_for_file(size_t offset)
{
    const size_t alignment = _Alignof(struct sink_file);

    return (offset + alignment - 1) / alignment * alignment;
}

/* The block ends with the hooks that are set, and with what is to be known of a file. */
static int allocate_emitter(struct sse_emitter **emitter, const struct sse_emitter_options *options)
{
    struct sse_emitter *made;
    struct sink_file file;
    int kind = identify_sink(options, &file);
    unsigned set = sse_hooks_set(options);
    size_t file_offset = aligned_for_file(sizeof(*made) + sse_hooks_count(set) * sizeof(union emitter_hook));

    if (kind < 0)
        return kind;
    made = sse_host_allocate(options->host,
                             kind == SINK_FILE ? file_offset + sizeof(struct sink_file) : file_offset);
    if (!made)
        return -ENOMEM;
    *made = (struct sse_emitter){
        .host = options->host,
        .process = getpid(),
        .sink_kind = (unsigned)kind & 3,
        .hooks_set = set & HOOKS_ALL,
        .overflow = (unsigned)options->overflow & 3,
        .membership.timer.position = HEAP_NOWHERE,
    };
    sse_hooks_copy(made->hooks, options);
    open_sink(made, options, &file, (struct sink_file *)(void *)((char *)made + file_offset));
    atomic_init(&made->refs, 1);
    if (pthread_mutex_init(&made->lock, NULL)) {
        sse_host_release(options->host, made);
        return -ENOMEM;
    }
    made->created = sse_host_now(options->host);
    sse_queue_init(&made->queue, options->framing == SSE_FRAMING_CHUNKED,
                   options->queue_bytes ? options->queue_bytes : DEFAULT_QUEUE_BYTES,
                   options->queue_messages ? (uint32_t)options->queue_messages : DEFAULT_QUEUE_MESSAGES);
    *emitter = made;
    return 0;
}

/* Takes over the reference to the message. */
static int queue_preamble(struct sse_emitter *emitter, struct sse_message *message)
{
    int error = sse_queue_admits(&emitter->queue, message) ? -EMSGSIZE : 0;

    if (!error)
        error = sse_queue_push(&emitter->queue, message, emitter->host);
    sse_message_unref(message);
    return error;
}

static int queue_head(struct sse_emitter *emitter, struct sse_str head)
{
    struct sse_message *message;

    if (!head.len)
        return 0;
    if (head.len > emitter->queue.bytes_max || head.len > SSE_EVENT_SIZE_MAX)
        return -EMSGSIZE;
    message = sse_message_new_unframed(head, emitter->host);
    return message ? queue_preamble(emitter, message) : -ENOMEM;
}

static int queue_retry(struct sse_emitter *emitter, int64_t retry_ms)
{
    const struct sse_event event = {.retry_ms = retry_ms};
    struct sse_message *message;
    int error;

    if (!retry_ms)
        return 0;
    error = sse_message_new(&message, &event, 1, emitter->host);
    if (error)
        return error;
    message->events = 0;
    return queue_preamble(emitter, message);
}

/* Before anybody else can know the emitter, so that a client that has left already is an error of
 * sse_emitter_new and not a hook of an emitter that the host does not have yet. */
static int write_preamble(struct sse_emitter *emitter)
{
    int cancel_state;

    if (emitter->sink_kind == SINK_PULL)
        return 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    sse_emitter_become_busy(emitter);
    (void)sse_emitter_write_queue(emitter, emitter->created);
    emitter->busy = false;
    pthread_mutex_unlock(&emitter->lock);
    pthread_setcancelstate(cancel_state, NULL);
    return emitter->state == SSE_STATE_CLOSED ? emitter->error : 0;
}

/* The sink did not take the whole preamble. It is not tried again: an error would end an emitter
 * that the host does not have yet, unless on_blocked itself asks for that. */
static void announce_blocked(struct sse_emitter *emitter)
{
    int cancel_state;

    if (emitter->sink_kind == SINK_PULL || !emitter->queue.count)
        return;
    sse_emitter_ref(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    sse_emitter_become_busy(emitter);
    sse_emitter_tell_blocked(emitter);
    emitter->busy = false;
    if (emitter->flush_again || emitter->state == SSE_STATE_CLOSED) {
        (void)sse_emitter_settle(emitter, emitter->created, NULL);
    } else {
        emitter->notable = false;
        pthread_mutex_unlock(&emitter->lock);
    }
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_give_back(emitter);
}

int sse_emitter_new(struct sse_emitter **emitter, const struct sse_emitter_options *options)
{
    struct sse_emitter *made;
    uint64_t random;
    int error;

    if (!emitter || !options_are_valid(options))
        return -EINVAL;
    error = allocate_emitter(&made, options);
    if (error)
        return error;
    random = sse_host_jitter(options->host, made->created ^ (uintptr_t)made);
    if (!sse_timers_init(&made->timers, options, made->created, random))
        error = -EINVAL;
    if (!error)
        error = queue_head(made, options->head);
    if (!error)
        error = queue_retry(made, options->retry_ms);
    if (!error)
        error = write_preamble(made);
    if (error) {
        destroy(made);
        return error;
    }
    *emitter = made;
    announce_blocked(made);
    return 0;
}

int sse_emitter_check(const struct sse_emitter *emitter)
{
    if (!emitter)
        return -EINVAL;
    return process_is_current(emitter->process) ? 0 : -EPERM;
}

struct sse_emitter *sse_emitter_ref(struct sse_emitter *emitter)
{
    if (emitter)
        atomic_fetch_add_explicit(&emitter->refs, 1, memory_order_relaxed);
    return emitter;
}

static void release(struct sse_emitter *emitter)
{
    const union emitter_hook *hook = sse_emitter_hook(emitter, HOOK_RELEASE);
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (hook)
        hook->on_release(emitter->sink.user);
    pthread_setcancelstate(cancel_state, NULL);
    destroy(emitter);
}

static bool drop_reference(struct sse_emitter *emitter)
{
    return atomic_fetch_sub_explicit(&emitter->refs, 1, memory_order_acq_rel) == 1;
}

/* No hook but on_release: all others would speak of what the parent goes on with. */
static void unref_in_child(struct sse_emitter *emitter)
{
    if (drop_reference(emitter) && !process_left_locked(&emitter->lock))
        release(emitter);
}

void sse_emitter_free_unreferenced(struct sse_emitter *emitter)
{
    pthread_mutex_lock(&emitter->lock);
    if (emitter->finishing) {
        pthread_mutex_unlock(&emitter->lock);
    } else {
        /* It lives until its hooks have run, and longer if they keep it. */
        atomic_store(&emitter->refs, 1);
        emitter->detached = true;
        (void)sse_emitter_end(emitter, SSE_REASON_DETACHED, -ECANCELED, 0);
        (void)sse_emitter_leave(emitter, sse_host_now(emitter->host));
        if (!drop_reference(emitter))
            return;
    }
    release(emitter);
}

void sse_emitter_unref(struct sse_emitter *emitter)
{
    if (!emitter)
        return;
    if (process_is_current(emitter->process))
        sse_emitter_give_back(emitter);
    else
        unref_in_child(emitter);
}

void *sse_emitter_user(const struct sse_emitter *emitter)
{
    return emitter ? emitter->sink.user : NULL;
}

int sse_emitter_fd(const struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    if (emitter->sink_kind == SINK_SOCKET)
        return emitter->sink.number;
    return emitter->sink_kind == SINK_FILE ? emitter->sink.file->number : -EINVAL;
}

int sse_emitter_end_at(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now)
{
    bool taken;

    pthread_mutex_lock(&emitter->lock);
    taken = sse_emitter_end(emitter, reason, error, now);
    (void)sse_emitter_leave(emitter, now);
    return taken ? 0 : -EALREADY;
}

int sse_emitter_complete(struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    return error ? error : sse_emitter_end_at(emitter, SSE_REASON_COMPLETED, 0, sse_host_now(emitter->host));
}

int sse_emitter_complete_with_error(struct sse_emitter *emitter, int error)
{
    int refused = sse_emitter_check(emitter);

    if (refused)
        return refused;
    if (error >= 0 || error < -4095)
        return -EINVAL;
    if (error == -ESHUTDOWN || error == -EINTR || error == -EINVAL)
        return -EINVAL;
    return sse_emitter_end_at(emitter, sse_reason_of_host_error(error), error, sse_host_now(emitter->host));
}

static bool others_are_inside(const struct sse_emitter *emitter)
{
    return emitter->busy && !pthread_equal(emitter->busy_thread, pthread_self());
}

static void wait_for_others(struct sse_emitter *emitter)
{
    struct emitter_waiter waiter = {.next = NULL};
    int cancel_state;

    if (!others_are_inside(emitter))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_cond_init(&waiter.wake, NULL);
    sse_emitter_add_waiter(emitter, &waiter);
    while (others_are_inside(emitter))
        pthread_cond_wait(&waiter.wake, &emitter->lock);
    sse_emitter_remove_waiter(emitter, &waiter);
    pthread_cond_destroy(&waiter.wake);
    pthread_setcancelstate(cancel_state, NULL);
}

int sse_emitter_detach(struct sse_emitter *emitter)
{
    uint64_t now;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    now = sse_host_now(emitter->host);
    pthread_mutex_lock(&emitter->lock);
    emitter->detached = true;
    (void)sse_emitter_end(emitter, SSE_REASON_DETACHED, -ECANCELED, now);
    wait_for_others(emitter);
    (void)sse_emitter_leave(emitter, now);
    return 0;
}

int sse_emitter_flush(struct sse_emitter *emitter)
{
    struct emitter_outcome outcome;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    pthread_mutex_lock(&emitter->lock);
    error = emitter->state == SSE_STATE_CLOSED ? sse_emitter_end_error(emitter) : 0;
    /* Room that the write callback itself announces it can report by what it returns. */
    if (others_are_inside(emitter) || emitter->telling)
        emitter->flush_again = true;
    outcome = sse_emitter_leave(emitter, sse_host_now(emitter->host));
    if (!error)
        error = outcome.error;
    return error ? error : outcome.queued;
}

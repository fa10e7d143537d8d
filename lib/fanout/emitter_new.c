/* SPDX-License-Identifier: MIT */
#include "base/options.h"
#include "connection/open.h"
#include "fanout/joining.h"
#include "loop/loop.h"

/* The oldest version of the options that is accepted: 0.2. */
#define OPTIONS_SIZE_OLDEST OPTIONS_SIZE_TO(struct sse_emitter_options, user)

/* Checks the options that depend on the loop. */
static bool loop_options_are_valid(const struct sse_emitter_options *options)
{
    bool writes_fd = options->output == SSE_OUTPUT_FD;

    if (options->watch_fd)
        return options->loop && sse_loop_is_polled(options->loop) && !writes_fd;
    return options->loop || !options->on_ready;
}

/* A member of a registry needs a loop unless it is PULL, because publishing does not do the work of an owner. */
static bool registry_options_are_valid(const struct sse_emitter_options *options)
{
    if (options->registry)
        return options->loop || options->output == SSE_OUTPUT_PULL;
    return !options->topic_count;
}

/* Whether the caller may go without a pointer to the emitter, and so cannot close, flush or start it. */
static bool may_be_kept_by_loop(const struct sse_emitter_options *options)
{
    return options->loop && options->output == SSE_OUTPUT_FD && !options->keep_fd && !options->paused;
}

static int check(struct sse_emitter **emitter, const struct sse_emitter_options *options)
{
    int error = options->registry ? sse_registry_check(options->registry) : 0;

    if (!error && options->loop)
        error = sse_loop_check(options->loop);
    if (error)
        return error;
    if (!emitter && !may_be_kept_by_loop(options))
        return -EINVAL;
    if (!loop_options_are_valid(options) || !registry_options_are_valid(options))
        return -EINVAL;
    return sse_joining_check(options->topics, options->topic_count, options->last_event_id);
}

static int enter_registry(struct sse_emitter *emitter, const struct sse_emitter_options *options,
                          struct joining *joining)
{
    if (!options->registry)
        return 0;
    *joining = (struct joining){
        .registry = options->registry,
        .emitter = emitter,
        .is_new = true,
        .paused = options->paused,
        .topics = options->topics,
        .count = options->topic_count,
        .last_event_id = options->last_event_id,
        .now = emitter->created,
    };
    return sse_joining_run(joining);
}

/* Joining the registry is the commit. It is the last step, because other threads see it. */
static int enter(struct sse_emitter *emitter, const struct sse_emitter_options *options,
                 struct joining *joining)
{
    int error = options->loop ? sse_loop_bind(options->loop, emitter) : 0;

    if (error)
        return error;
    error = enter_registry(emitter, options, joining);
    if (error && options->loop)
        sse_loop_unbind(options->loop, emitter);
    return error;
}

static void tune(const struct sse_emitter *emitter, const struct sse_emitter_options *options)
{
    if (emitter->output_kind == OUTPUT_SOCKET && !options->keep_socket_options)
        sse_socket_tune(options->fd, emitter->timers.stall);
}

static int make(struct sse_emitter **emitter, const struct sse_emitter_options *options,
                struct sse_replay *replay)
{
    struct joining joining = {.registry = options->registry};
    struct sse_emitter *made;
    int error = sse_emitter_allocate(&made, options, options->loop ? sse_loop_marks(options->loop) : NULL);

    if (error)
        return error;
    error = enter(made, options, &joining);
    if (error) {
        sse_emitter_discard(made);
        return error;
    }
    if (emitter)
        *emitter = made;
    if (replay)
        *replay = joining.replay;
    sse_mark_chain_finish(&joining.chain);
    tune(made, options);
    sse_emitter_open(made);
    if (!emitter)
        sse_emitter_release(made);
    return 0;
}

int sse_emitter_new(struct sse_emitter **emitter, const struct sse_emitter_options *options,
                    struct sse_replay *replay)
{
    struct sse_emitter_options known;
    int cancel_state, error;

    if (!options || !sse_options_copy(&known, sizeof(known), options, options->size, OPTIONS_SIZE_OLDEST))
        return -EINVAL;
    known.size = sizeof(known);
    error = check(emitter, &known);
    if (error)
        return error;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = make(emitter, &known, replay);
    pthread_setcancelstate(cancel_state, NULL);
    return error;
}

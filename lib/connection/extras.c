/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"

static size_t count_bits(unsigned bits)
{
    size_t count = 0;

    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

unsigned sse_extras_set(const struct sse_emitter_options *options)
{
    const bool set[EXTRA_COUNT] = {
        [EXTRA_READY] = options->on_ready,     [EXTRA_TIMEOUT] = options->on_timeout,
        [EXTRA_ERROR] = options->on_error,     [EXTRA_COMPLETION] = options->on_completion,
        [EXTRA_RELEASE] = options->on_release, [EXTRA_PAUSE] = options->paused,
        [EXTRA_WATCH] = options->watch_fd,
    };
    unsigned bits = 0;

    for (unsigned place = 0; place < EXTRA_COUNT; place++)
        bits |= (unsigned)set[place] << place;
    return bits;
}

size_t sse_extras_count(unsigned set)
{
    return count_bits(set);
}

void sse_extras_copy(union emitter_extra *extras, const struct sse_emitter_options *options)
{
    if (options->on_ready)
        *extras++ = (union emitter_extra){.on_ready = options->on_ready};
    if (options->on_timeout)
        *extras++ = (union emitter_extra){.on_timeout = options->on_timeout};
    if (options->on_error)
        *extras++ = (union emitter_extra){.on_error = options->on_error};
    if (options->on_completion)
        *extras++ = (union emitter_extra){.on_completion = options->on_completion};
    if (options->on_release)
        *extras++ = (union emitter_extra){.on_release = options->on_release};
    if (options->paused)
        *extras++ = (union emitter_extra){.pause = NULL};
    if (options->watch_fd)
        *extras++ = (union emitter_extra){.watch = {.fd = options->watch_fd}};
}

union emitter_extra *sse_emitter_extra(const struct sse_emitter *emitter, enum emitter_extra_place place)
{
    unsigned set = emitter->extras_set;

    if (!(set >> place & 1))
        return NULL;
    return (union emitter_extra *)(uintptr_t)&emitter->extras[count_bits(set & ((1u << place) - 1))];
}

int sse_emitter_descriptor(const struct sse_emitter *emitter)
{
    const union emitter_extra *watch;

    if (emitter->output_kind == OUTPUT_SOCKET)
        return emitter->output.number;
    if (emitter->output_kind == OUTPUT_FILE)
        return emitter->output.file->number;
    watch = sse_emitter_extra(emitter, EXTRA_WATCH);
    return watch ? watch->watch.fd : -1;
}

/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"

static size_t count_bits(unsigned bits)
{
    size_t count = 0;

    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

unsigned sse_hooks_set(const struct sse_emitter_options *options)
{
    const bool set[HOOK_COUNT] = {
        [HOOK_READY] = options->on_ready,           [HOOK_BLOCKED] = options->on_blocked,
        [HOOK_TIMEOUT] = options->on_timeout,       [HOOK_ERROR] = options->on_error,
        [HOOK_COMPLETION] = options->on_completion, [HOOK_RELEASE] = options->on_release,
    };
    unsigned bits = 0;

    for (unsigned hook = 0; hook < HOOK_COUNT; hook++)
        bits |= (unsigned)set[hook] << hook;
    return bits;
}

size_t sse_hooks_count(unsigned set)
{
    return count_bits(set);
}

void sse_hooks_copy(union emitter_hook *hooks, const struct sse_emitter_options *options)
{
    if (options->on_ready)
        *hooks++ = (union emitter_hook){.on_ready = options->on_ready};
    if (options->on_blocked)
        *hooks++ = (union emitter_hook){.on_blocked = options->on_blocked};
    if (options->on_timeout)
        *hooks++ = (union emitter_hook){.on_timeout = options->on_timeout};
    if (options->on_error)
        *hooks++ = (union emitter_hook){.on_error = options->on_error};
    if (options->on_completion)
        *hooks++ = (union emitter_hook){.on_completion = options->on_completion};
    if (options->on_release)
        *hooks++ = (union emitter_hook){.on_release = options->on_release};
}

const union emitter_hook *sse_emitter_hook(const struct sse_emitter *emitter, enum emitter_hook_place place)
{
    unsigned set = emitter->hooks_set;

    if (!(set >> place & 1))
        return NULL;
    return &emitter->hooks[count_bits(set & ((1u << place) - 1))];
}

/* SPDX-License-Identifier: MIT */
#include "connection/pause.h"
#include "base/platform.h"
#include "connection/account.h"

void sse_emitter_choose_after_gap(struct sse_emitter *emitter, bool filled)
{
    struct pause *pause = sse_emitter_pause(emitter);
    uint32_t first = filled ? 0 : pause->if_gap;
    uint32_t count = filled ? pause->if_gap : pause->if_filled;

    while (count--)
        (void)sse_queue_drop_at(&pause->later, first, emitter->platform);
}

void sse_emitter_drop_pause(struct sse_emitter *emitter)
{
    struct pause *pause = sse_emitter_pause(emitter);

    if (emitter->paused)
        sse_emitter_choose_after_gap(emitter, false);
    sse_emitter_set_pause(emitter, NULL);
    sse_emitter_count_dropped(emitter, sse_queue_events(&pause->later));
    sse_queue_clear(&pause->later, emitter->platform);
    sse_platform_deallocate(emitter->platform, pause);
}

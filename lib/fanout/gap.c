/* SPDX-License-Identifier: MIT */
#include "fanout/gap.h"

int sse_gap_message_new(struct sse_message **message, const struct sse_registry *registry,
                        struct sse_text asked, struct sse_text following, const struct replay_place *place)
{
    const struct archive *archive = &registry->archive;
    char data[2 * SSE_ID_SIZE_MAX + 1], id[SSE_ASSIGNED_ID_SIZE];
    /* A client may send any bytes. A line end among them would forge a line. */
    size_t size = sse_replay_may_be_id(asked) ? asked.len : 0;
    struct sse_event event = {
        .type = {registry->gap_type, registry->gap_type_size},
        .trusted_utf8 = true,
    };

    memcpy(data, asked.ptr, size);
    data[size++] = '\n';
    if (following.len) {
        memcpy(data + size, following.ptr, following.len);
        size += following.len;
    }
    event.data = (struct sse_text){data, size};
    if (sse_archive_is_on(archive)) {
        sse_archive_format_id(archive, place->last, id);
        event.id = (struct sse_text){id, sse_archive_id_size(archive)};
    }
    return sse_message_new(message, &event, 1, registry->platform);
}

/* SPDX-License-Identifier: MIT */
#ifndef WIRE_EVENT_H
#define WIRE_EVENT_H

/** The two halves of sse_event_encode, for callers that allocate memory between them. */

#include <sse/event.h>

/** What measuring an event finds out, so that writing it need not do that again. */
struct event_layout {
    size_t size;
    size_t id_line;    /* where the line of the id begins, or would begin if there were an id */
    bool data_is_line; /* the data has no line end */
};

/** 0 with *layout filled, or an error of sse_event_encode. */
int sse_event_measure(const struct sse_event *event, struct event_layout *layout);

/** Writes the layout->size bytes of an event that has not changed since it was measured. */
void sse_event_write(const struct sse_event *event, const struct event_layout *layout, void *buffer);

#endif

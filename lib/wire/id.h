/* SPDX-License-Identifier: MIT */
#ifndef WIRE_ID_H
#define WIRE_ID_H

#include <sse/base.h>
#include <stdbool.h>

/*
 * Whether an event id would come back unchanged in a Last-Event-ID header: it holds no control byte
 * and no DEL, and neither starts nor ends with a space. The empty id is valid. Whether it is UTF-8
 * is not checked here.
 */
bool sse_id_is_valid(const unsigned char *bytes, size_t length);

/* ASCII without spaces, as most ids are: valid, and UTF-8. Absent and empty are plain too. */
bool sse_id_is_plain(struct sse_text id);

#endif

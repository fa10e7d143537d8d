/* SPDX-License-Identifier: MIT */
#ifndef WIRE_ID_H
#define WIRE_ID_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether an event id would come back unchanged in a Last-Event-ID header: it holds no control byte
 * and no DEL, and neither starts nor ends with a space. The empty id is valid. Whether it is UTF-8
 * is not checked here.
 */
bool sse_id_is_valid(const unsigned char *bytes, size_t length);

#endif

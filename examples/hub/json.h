/* SPDX-License-Identifier: MIT */
#ifndef HUB_JSON_H
#define HUB_JSON_H

/** Writes the JSON that the hub answers with. */

#include "buffer.h"

#include <sse/base.h>
#include <stdint.h>

/** A string, or null for an absent text. The text must be UTF-8. */
void json_string(struct buffer *buffer, struct sse_text text);

/** `"name":number`, with a comma before it unless it follows an opening brace. */
void json_count(struct buffer *buffer, const char *name, uint64_t number);

/** `"name":`, with a comma as in json_count. */
void json_name(struct buffer *buffer, const char *name);

#endif

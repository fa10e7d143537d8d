/* SPDX-License-Identifier: MIT */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/** Whether the bytes are UTF-8 by RFC 3629: in the shortest form, without surrogates, up to U+10FFFF. */
bool sse_utf8_is_valid(const unsigned char *bytes, size_t length);

#endif

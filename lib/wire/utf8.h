/* SPDX-License-Identifier: MIT */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/** Whether the bytes are UTF-8 as RFC 3629 has it: shortest form, no surrogates, to U+10FFFF. */
bool sse_utf8_is_valid(const unsigned char *bytes, size_t length);

#endif

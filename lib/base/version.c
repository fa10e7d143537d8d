/* SPDX-License-Identifier: MIT */
#include <sse/base.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

const char *sse_version(void)
{
    return TEXT(SSE_VERSION_MAJOR) "." TEXT(SSE_VERSION_MINOR) "." TEXT(SSE_VERSION_PATCH);
}

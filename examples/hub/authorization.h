/* SPDX-License-Identifier: MIT */
#ifndef HUB_AUTHORIZATION_H
#define HUB_AUTHORIZATION_H

#include "request.h"

/**
 * Whether a request carries `Authorization: Bearer` and the token; always if `token` is absent.
 * How long it takes tells nothing about the token: RFC 6750 section 2.1.
 */
bool authorization_matches(const struct request *request, struct sse_str token);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef NGX_SSE_MODULE_H
#define NGX_SSE_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>

extern ngx_module_t ngx_http_sse_module;

#endif

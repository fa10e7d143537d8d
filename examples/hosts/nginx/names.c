/* SPDX-License-Identifier: MIT */
/* What nginx looks for in a module that it loads. nginx's own build makes these lists; meson's needs them. */
#include "module.h"

extern ngx_module_t *ngx_modules[];
extern char *ngx_module_names[];
extern char *ngx_module_order[];

ngx_module_t *ngx_modules[] = {&ngx_http_sse_module, NULL};
char *ngx_module_names[] = {"ngx_http_sse_module", NULL};
char *ngx_module_order[] = {NULL};

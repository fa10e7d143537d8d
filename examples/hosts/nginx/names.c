/* SPDX-License-Identifier: MIT */
/* The lists that nginx looks for when it loads a module. nginx's own build generates them; a build with meson needs
 * this file. */
#include "module.h"

extern ngx_module_t *ngx_modules[];
extern char *ngx_module_names[];
extern char *ngx_module_order[];

ngx_module_t *ngx_modules[] = {&ngx_http_sse_module, NULL};
char *ngx_module_names[] = {"ngx_http_sse_module", NULL};
char *ngx_module_order[] = {NULL};

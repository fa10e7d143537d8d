/* SPDX-License-Identifier: MIT */
/*
 * A module of Apache httpd 2.4, for mpm_event and mpm_worker; sse.conf tells how to set it up. PULL: a thread
 * of Apache waits for each stream and writes it. A polled loop in a thread of its own watches the sockets and
 * runs the timers.
 *
 * Why a thread for each stream. Under mpm_event a handler may return SUSPENDED, and the connection is then
 * nobody's until the module ends it. Apache 2.4 has no call that gives such a connection back to the server,
 * and process_socket() in mpm_event still writes to the connection after it has run the hook
 * suspend_connection, the last that a module hears of it. So a module never knows when it may end a suspended
 * connection, and frees it under that thread's feet now and then. Version 2.5 has ap_mpm_resume_suspended().
 */
#include "mod_sse.h"

#include <mpm_common.h>

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_pre_config(set_defaults, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(check_configuration, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_start, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(child_stop, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(stream_handle, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(publish_handle, NULL, NULL, APR_HOOK_MIDDLE);
}

__attribute__((visibility("default")))
AP_DECLARE_MODULE(sse) = {STANDARD20_MODULE_STUFF, .cmds = commands, .register_hooks = register_hooks};

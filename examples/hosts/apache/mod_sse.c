/* SPDX-License-Identifier: MIT */
/*
 * A module of Apache httpd 2.4. sse.conf shows how to set it up. Output PULL: for each stream, a thread of Apache
 * waits for bytes and writes them. Under mpm_prefork that is the whole process. A polled loop in its own thread
 * watches the sockets and runs the timers. Several processes share their events by a ring: see shared.c.
 *
 * Why each stream has a thread: under mpm_event a handler may return SUSPENDED. Then the module must end the
 * connection itself, because Apache 2.4 has no call that returns it to the server. But process_socket() in
 * mpm_event still writes to the connection after it has run the hook suspend_connection, and no later hook tells
 * the module that this write is done. So the module cannot know when it may end a suspended connection, and would
 * sometimes free it while Apache's thread still uses it. Version 2.5 has ap_mpm_resume_suspended().
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

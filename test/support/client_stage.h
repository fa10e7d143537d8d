/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CLIENT_STAGE_H
#define SUPPORT_CLIENT_STAGE_H

/** A client without a registry, and a loop whose turns the test takes. Uses the assertions of cmocka. */

#include "fake_client.h"

extern struct fake_platform fake;
extern struct fake_loop loop;
extern struct fake_client client;

/** For cmocka. The test opens the client, and frees it. */
int set_up(void **state);
int tear_down(void **state);

#endif

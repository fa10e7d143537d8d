/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"

struct fake_platform fake;
struct fake_loop loop;
struct fake_client client;

int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    fake_loop_close(&loop);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

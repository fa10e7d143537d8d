/* SPDX-License-Identifier: MIT */
/* Replaces the hub's page, which is made when the hub is built. */

#include "page.h"

const char hub_page[] = "<!DOCTYPE html>";
const size_t hub_page_size = sizeof(hub_page) - 1;
const char hub_page_content_security_policy[] = "default-src 'none'";

/* SPDX-License-Identifier: MIT */
#ifndef HUB_PAGE_H
#define HUB_PAGE_H

/**
 * The web page of the hub. When the hub is built, embed.py makes page.c of page.html.
 */

#include <stddef.h>

/** The page: text/html, UTF-8. A NUL follows that is not part of it. */
extern const char hub_page[];

/** The size of the page in bytes, without the NUL. */
extern const size_t hub_page_size;

/** The value of the Content-Security-Policy header for this page. */
extern const char hub_page_content_security_policy[];

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HUB_DESCRIPTOR_H
#define HUB_DESCRIPTOR_H

/** Makes a descriptor non-blocking and closed on exec. Returns 0 or a negative errno. */
int descriptor_prepare(int fd);

/**
 * Opens /dev/null for each of standard input, output and error that is closed. Otherwise a socket would get its
 * number, and library functions would read from it or write messages to it. Returns 0 or a negative errno.
 */
int descriptor_fill_standard(void);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef HUB_DESCRIPTOR_H
#define HUB_DESCRIPTOR_H

/** Makes a descriptor non-blocking and closed on exec. Returns 0 or a negative errno. */
int descriptor_prepare(int fd);

#endif

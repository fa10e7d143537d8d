/* SPDX-License-Identifier: MIT */
#include "fanout/seniority.h"

static uint32_t sift_up(const struct seniority *order, void *array, uint32_t place)
{
    while (place > 0 && order->rank(array, place) < order->rank(array, (place - 1) / 2)) {
        order->swap(array, place, (place - 1) / 2);
        place = (place - 1) / 2;
    }
    return place;
}

static void sift_down(const struct seniority *order, void *array, uint32_t count, uint32_t place)
{
    while (place < count / 2) {
        uint32_t child = 2 * place + 1;

        if (child + 1 < count && order->rank(array, child + 1) < order->rank(array, child))
            child++;
        if (order->rank(array, place) <= order->rank(array, child))
            return;
        order->swap(array, place, child);
        place = child;
    }
}

void sse_seniority_extract(const struct seniority *order, void *array, uint32_t count, uint32_t place)
{
    uint32_t last = count - 1;

    if (place == last)
        return;
    order->swap(array, place, last);
    sift_down(order, array, last, sift_up(order, array, place));
}

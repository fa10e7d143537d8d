/* SPDX-License-Identifier: MIT */
#include "attempt.h"
#include "fault.h"

void attempt_begin(struct attempt *attempt, const struct client *client)
{
    attempt->failures = 0;
    if (fault_is_to_come())
        picture_take(&attempt->before, client);
}

static bool is_one_of(int error, const int *documented)
{
    while (*documented && *documented != error)
        documented++;
    return *documented != 0;
}

bool attempt_is_to_be_repeated(struct attempt *attempt, int error, const int *documented)
{
    if (error >= 0)
        return false;
    expect(fault_has_struck(), "a call failed without a fault");
    expect(is_one_of(error, documented), "an error that is not documented");
    expect(picture_is_unchanged(&attempt->before), "an error changed something");
    if (fault_last()->for_good)
        return false;
    expect(!attempt->failures++, "a call failed again after its fault");
    return true;
}

/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_FAULT_H
#define INJECTION_FAULT_H

/** One fault: an allocation or a system call fails, once or from then on. */

#include "fake_platform.h"
#include "faulty_calls.h"

enum fault_kind { FAULT_NONE, FAULT_ALLOCATION, FAULT_CALL };

struct fault {
    enum fault_kind kind;
    enum faulty_call call;
    int error;     /* the errno; below 0: the call is made with that many bytes */
    size_t nth;    /* counted from 1 since it was armed */
    bool for_good; /* and all after it; EINTR: only a burst, because signals do not come for ever */
};

void fault_arm(const struct fault *fault, struct fake_platform *fake);
/** Disarms the fault. Returns whether something has failed. */
bool fault_disarm(void);

/** Whether the armed fault has made something fail. */
bool fault_has_struck(void);
/** Whether something will still fail. */
bool fault_is_to_come(void);
/** Returns the fault that was armed last. */
const struct fault *fault_last(void);

/** Returns the errno of the last fault if a system call failed with one; otherwise 0. */
int fault_errno(void);

const char *fault_call_name(enum faulty_call call);

/** Returns its description, for messages. */
const char *fault_text(void);

#endif

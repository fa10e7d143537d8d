# SPDX-License-Identifier: MIT
# Both compilers, without and with optimisation; every warning is an error. gcc with optimisation is the suite
# unit. The examples are built with optimisation only.
# One of the builds is without epoll, timerfd and eventfd, as on a system that has only POSIX.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools && install_clang || exit 1

# The sanitizers look at the racing threads for longer.
export SSE_TEST_ROUNDS=25
build_and_test gcc-O0 gcc "-Dwerror=true -Dexamples=disabled -Depoll=disabled -Dtimerfd=disabled -Deventfd=disabled
    -Ddefault_library=shared -Doptimization=0 -Ddebug=false"
build_and_test clang-O0 clang "-Dwerror=true -Dexamples=disabled -Ddefault_library=static -Doptimization=0 -Ddebug=false"
build_clang && run_built_tests clang-O2

# SPDX-License-Identifier: MIT
# gcc without optimisation, and clang with it. Every warning is an error. gcc with optimisation is in the suite
# unit. The build without optimisation is as on the poorest system: without epoll, timerfd, eventfd and other
# features.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools && install_clang || exit 1

# The sanitizers test racing threads for longer.
export SSE_TEST_ROUNDS=25
# The library must use nothing that such a system lacks.
compile_bare() {
    log=$SSE_BUILD/bare.log
    for file in "$SSE_ROOT"/lib/*/*.c; do
        gcc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
            -include "$SSE_ROOT/test/support/bare_system.h" -I"$SSE_ROOT/include" -I"$SSE_ROOT/lib" "$file" || return 1
    done >"$log" 2>&1
}

if compile_bare; then
    record bare-system 1 0 0
else
    cat "$log"
    record bare-system 0 1 0
fi
build gcc-O0 gcc "-Dtests=enabled -Dwerror=true -Dexamples=disabled -Depoll=disabled -Dtimerfd=disabled
    -Deventfd=disabled -Dc_args=-DSSE_BARE_SYSTEM -Ddefault_library=shared -Doptimization=0 -Ddebug=false" &&
    run_built_tests gcc-O0 --no-suite injection --no-suite complexity
build_clang && run_built_tests clang-O2 --no-suite injection --no-suite installed --no-suite complexity

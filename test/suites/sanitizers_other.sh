# SPDX-License-Identifier: MIT
# The sanitizers with the other compiler of each: see sanitizers. This suite does not run by default.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/sanitizers.sh"

install_build_tools && install_clang || exit 1
# The tests of failing calls take a minute, and their results do not depend on the compiler.
run_asan clang "-Db_lundef=false" --no-suite injection
run_tsan gcc ""

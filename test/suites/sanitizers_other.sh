# SPDX-License-Identifier: MIT
# The sanitizers with the other compiler of each: see sanitizers. Not among the suites that run by default.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/sanitizers.sh"

install_build_tools && install_clang || exit 1
# The failing calls take a minute; what they show does not depend on the compiler.
run_asan clang "-Db_lundef=false" --no-suite injection
run_tsan gcc ""

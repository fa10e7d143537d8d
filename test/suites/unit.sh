# SPDX-License-Identifier: MIT
# One build with the default compiler: all unit tests and checks.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools || exit 1
build_and_test unit "${CC:-cc}" "-Dwerror=true -Doptimization=2 -Ddebug=true"

# SPDX-License-Identifier: MIT
# One build with the default compiler: all unit tests and checks.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools || exit 1
build_default && run_built_tests unit

# SPDX-License-Identifier: MIT
# AddressSanitizer with UndefinedBehaviorSanitizer, and ThreadSanitizer, with one compiler each, so that a run of all
# suites stays short. sanitizers_other has the other compiler of each; the fuzz targets run under clang's ASan.
. "$SSE_ROOT/test/support/suite.sh"
. "$SSE_ROOT/test/support/sanitizers.sh"

install_build_tools && install_clang || exit 1
run_asan gcc ""
run_tsan clang "-Db_lundef=false"

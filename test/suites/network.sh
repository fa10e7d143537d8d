# SPDX-License-Identifier: MIT
# A client that vanishes without FIN or RST, in separate network namespaces.
. "$SSE_ROOT/test/support/suite.sh"

install_build_tools && install ip && install nsenter || exit 1
if ! unshare -n true 2>/dev/null; then
    record network 0 0 1 "network namespaces are not allowed here"
    exit 0
fi
build_default test/network/vanish || exit 0
log=$SSE_BUILD/network.log
# The kernel alone would need about 16 minutes.
if timeout 120 unshare -n sh "$SSE_ROOT/test/network/vanish.sh" "$SSE_BUILD/unit/test/network/vanish" \
    "$SSE_BUILD/network" >"$log" 2>&1; then
    cat "$log"
    record network 1 0 0
else
    cat "$log"
    record network 0 1 0 "a vanished client was not noticed"
fi

# SPDX-License-Identifier: MIT
# The snippets of README and guides are compiled and run, and their output is compared. The manual has a page for
# each public function, and is made without warnings.
. "$SSE_ROOT/test/support/suite.sh"

work=$SSE_BUILD/docs
log=$SSE_BUILD/docs.log

# Each function that the library exports.
check_pages() {
    missing=
    for page in $(sed -n 's/^ *\(sse_[a-z_0-9]*\);$/\1/p' "$SSE_ROOT/lib/libsse-emitter.map"); do
        [ -f "$work/installed/share/man/man3/$page.3" ] || missing="$missing $page"
    done
    # The name is one line, or whatis shows the whole page.
    grep -A2 -x '.SH NAME' "$work/installed/share/man/man7/sse-emitter.7" | grep -qx '.SH DESCRIPTION' ||
        missing="$missing sse-emitter(7)"
    [ -f "$work/installed/share/doc/sse-emitter/html/index.html" ] || missing="$missing html"
    [ -z "$missing" ] || echo "no page, or none of the right form:$missing"
    [ -z "$missing" ]
}

# In manual pages Doxygen writes ' in place of ". Examples would not be C.
check_quotes() {
    grep -F 'sse_str(\(dqalarm\(dq)' "$work/installed/share/man/man3/sse_registry_publish.3" &&
        grep -F 'sse_str(&quot;alarm&quot;)' "$work"/installed/share/doc/sse-emitter/html/group__sse__registry__publish.html
}

make_manual() {
    meson setup "$work/build" "$SSE_ROOT" -Ddocs=enabled -Dtests=disabled -Dexamples=disabled \
        --prefix="$work/installed" --libdir=lib --mandir=share/man && meson install -C "$work/build"
}

# The bytes that the page shows are those of the library.
check_gap() {
    ${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -I"$work/installed/include" \
        "$SSE_ROOT/test/docs/gap.c" -L"$work/installed/lib" -lsse-emitter -Wl,-rpath,"$work/installed/lib" -pthread -o "$work/gap" &&
        "$work/gap" "$SSE_ROOT/examples/guide/replay.md"
}

# try NAME COMMAND...: records whether the command succeeds, and prints its output if it does not.
try() {
    name=$1
    shift
    if "$@" >"$log" 2>&1; then
        record "docs-$name" 1 0 0
    else
        tail -40 "$log"
        record "docs-$name" 0 1 0
    fi
}

install_build_tools && install doxygen && install mandoc && install curl && install node || exit 1
rm -rf "$work"
mkdir -p "$work"
try manual make_manual
try pages check_pages
try quotes check_quotes
try gap check_gap
try mandoc mandoc -Tlint -W warning "$work"/installed/share/man/man[37]/*

python3 "$SSE_ROOT/test/docs/snippets.py" "$SSE_ROOT" "$work/snippets" >"$log" 2>&1
status=$?
grep -v '^ok' "$log"
passed=$(grep -c '^ok' "$log")
failed=$(grep -c '^not ok' "$log")
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
record docs-snippets "$passed" "$failed" 0

# SPDX-License-Identifier: MIT
# For the suite portability: builds cmocka with any compiler, and describes the compiler to meson.

foreign=$SSE_BUILD/portability
cmocka_source=$foreign/cmocka

# apt uses separate lists of package sources here, so that the machine's lists do not change.
apt_source() {
    apt-get -qq -o Dir::Etc::SourceList="$foreign/apt/sources.list" -o Dir::Etc::SourceParts="$foreign/apt/parts" \
        -o Dir::State::Lists="$foreign/apt/lists" -o Dir::Cache="$foreign/apt/cache" "$@"
}

# fetch_cmocka: fetches the source of Debian's package, once.
fetch_cmocka() {
    [ ! -e "$cmocka_source/src/cmocka.c" ] || return 0
    have apt-get || return 1
    rm -rf "$foreign/apt" "$cmocka_source"
    mkdir -p "$foreign/apt/parts" "$foreign/apt/lists/partial" "$foreign/apt/cache/archives/partial" "$cmocka_source"
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb /deb-src /p' \
        >"$foreign/apt/sources.list"
    for part in /etc/apt/sources.list.d/*.sources; do
        [ ! -e "$part" ] || sed 's/^Types:.*/Types: deb-src/' "$part" >"$foreign/apt/parts/${part##*/}"
    done
    (cd "$foreign/apt" && apt_source update && apt_source source --download-only cmocka) >"$foreign/apt.log" 2>&1 &&
        tar -xf "$foreign"/apt/cmocka_*.orig.tar.[gx]z -C "$cmocka_source" --strip-components=1 && return 0
    cat "$foreign/apt.log"
    rm -rf "$cmocka_source"
    return 1
}

# make_cmocka NAME "COMPILER" "AR": a static cmocka, in $foreign/NAME-cmocka
make_cmocka() {
    prefix=$foreign/$1-cmocka
    rm -rf "$prefix"
    mkdir -p "$prefix/lib/pkgconfig"
    cp -R "$cmocka_source/include" "$prefix"
    # shellcheck disable=SC2086
    $2 -O1 -c "$cmocka_source/src/cmocka.c" -I"$prefix/include" -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H \
        -DHAVE_STRUCT_TIMESPEC -DHAVE_CLOCK_REALTIME -DHAVE_SIGLONGJMP -DHAVE_STRSIGNAL \
        -DHAVE_GCC_THREAD_LOCAL_STORAGE -o "$prefix/cmocka.o" &&
        $3 rcs "$prefix/lib/libcmocka.a" "$prefix/cmocka.o" || return 1
    printf '%s\n' "Name: cmocka" "Description: for this compiler" "Version: 1.1.5" "Libs: -L$prefix/lib -lcmocka" \
        "Cflags: -I$prefix/include" >"$prefix/lib/pkgconfig/cmocka.pc"
}

# in_list "A B": 'A', 'B'
in_list() {
    for word in $1; do
        printf "'%s', " "$word"
    done
}

# describe NAME "COMPILER" "AR" FAMILY ENDIAN "EMULATOR": a cross file for meson, $foreign/NAME.ini
describe() {
    {
        echo "[binaries]"
        echo "c = [$(in_list "$2")]"
        echo "ar = [$(in_list "$3")]"
        echo "pkgconfig = 'pkg-config'"
        [ -z "$6" ] || echo "exe_wrapper = [$(in_list "$6")]"
        echo "[properties]"
        echo "pkg_config_libdir = '$foreign/$1-cmocka/lib/pkgconfig'"
        echo "needs_exe_wrapper = $([ -n "$6" ] && echo true || echo false)"
        echo "[host_machine]"
        echo "system = 'linux'"
        echo "cpu_family = '$4'"
        echo "cpu = '$4'"
        echo "endian = '$5'"
    } >"$foreign/$1.ini"
}

#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzz targets as OSS-Fuzz does: CC, CXX, CFLAGS, CXXFLAGS and LIB_FUZZING_ENGINE are its, and the
# targets with their corpora, dictionaries and options go to OUT. It needs meson, ninja and zip.
set -eu
sources=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-/tmp}/sse-emitter

rm -rf "$work"
meson setup "$work" "$sources/../.." -Dfuzz=true -Dfuzzing_engine="${LIB_FUZZING_ENGINE:-}" -Dtests=disabled \
    -Dexamples=disabled -Ddefault_library=static -Dbuildtype=plain -Db_lundef=false
meson compile -C "$work" fuzz_targets

for source in "$sources"/fuzz_*.c; do
    target=$(basename "$source" .c)
    [ -x "$work/test/fuzz/$target" ] || continue
    cp "$work/test/fuzz/$target" "$OUT/"
    cp "$sources/fuzz.options" "$OUT/$target.options"
    [ ! -f "$sources/$target.dict" ] || cp "$sources/$target.dict" "$OUT/"
    (cd "$sources/${target}_seed_corpus" && zip -q -r "$OUT/${target}_seed_corpus.zip" .)
done

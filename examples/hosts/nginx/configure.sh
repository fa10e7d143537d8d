#!/bin/sh
# SPDX-License-Identifier: MIT
# configure.sh SOURCE DIRECTORY: runs nginx's configure and puts the headers that it makes into DIRECTORY. SOURCE is
# the source of the nginx that will load the module: the same version, with the same options.
set -eu
source=$1
directory=$2
place=$directory/configure
rm -rf "$place"
mkdir -p "$place"
cp -rs "$source/auto" "$source/src" "$source/configure" "$place"
cd "$place"
# Debian's package records the options.
options=$(sed -n 's/^NGX_CONF_FLAGS=(\(.*\))$/\1/p' "$source/conf_flags" 2>/dev/null || true)
# shellcheck disable=SC2086
./configure ${options:---with-compat --with-threads --with-http_ssl_module --with-http_v2_module} >configure.log
mv objs/ngx_auto_config.h objs/ngx_auto_headers.h "$directory"

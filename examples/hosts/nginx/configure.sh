#!/bin/sh
# SPDX-License-Identifier: MIT
# configure.sh SOURCE DIRECTORY: what nginx's configure finds out about the system, as headers in DIRECTORY. SOURCE
# is nginx's source, of the version and with the options of the nginx that loads the module.
set -eu
source=$1
directory=$2
place=$directory/configure
rm -rf "$place"
mkdir -p "$place"
cp -rs "$source/auto" "$source/src" "$source/configure" "$place"
cd "$place"
# Debian's package names the options.
options=$(sed -n 's/^NGX_CONF_FLAGS=(\(.*\))$/\1/p' "$source/conf_flags" 2>/dev/null || true)
# shellcheck disable=SC2086
./configure ${options:---with-compat --with-threads --with-http_ssl_module --with-http_v2_module} >configure.log
mv objs/ngx_auto_config.h objs/ngx_auto_headers.h "$directory"

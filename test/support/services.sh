# SPDX-License-Identifier: MIT
# Debian's packages of servers start and enable their services. Tests start their own servers: a service that
# was not there before an installation neither runs nor is enabled after it. Others are left alone.

policy=/usr/sbin/policy-rc.d
policy_title="# Made by test/run.sh for the time of an installation: services that are new are not started."
services_before=$SSE_BUILD/services-before

# The names of units, and of scripts of System V init.
list_services() {
    for directory in /etc/init.d /lib/systemd/system /etc/systemd/system; do
        ls "$directory" 2>/dev/null
    done | grep -v '[@ ]' | sort -u
}

# A file that is there already is the user's, or one of ours that an interrupted run left.
may_set_policy() {
    [ ! -e "$policy" ] || grep -qxF "$policy_title" "$policy"
}

before_services() {
    list_services >"$services_before"
    may_set_policy || return 0
    {
        echo '#!/bin/sh'
        echo "$policy_title"
        # Called with options, the name of the service, and what is to be done.
        # shellcheck disable=SC2016
        echo 'for name in "$@"; do case $name in -*) ;; *) break ;; esac; done'
        echo "grep -qxF -e \"\$name\" -e \"\$name.service\" '$services_before' || exit 101"
    } | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
}

# stop_service NAME: it may run all the same, where the policy is the user's.
stop_service() {
    case $1 in
    *.service | *.socket | *.timer | *.path)
        [ ! -d /run/systemd/system ] || as_root systemctl stop "$1"
        if have systemctl; then
            as_root systemctl disable "$1"
        else
            # It works for the scripts of packages alone.
            as_root env DPKG_MAINTSCRIPT_PACKAGE=none deb-systemd-helper disable "$1"
        fi
        ;;
    *)
        [ -x "/etc/init.d/$1" ] || return 0
        [ -d /run/systemd/system ] || as_root "/etc/init.d/$1" stop
        as_root update-rc.d "$1" disable
        ;;
    esac
}

after_services() {
    new=$(list_services | grep -vxF -f "$services_before")
    for name in $new; do
        stop_service "$name"
    done >>"$apt_log" 2>&1
    if [ -e "$policy" ] && grep -qxF "$policy_title" "$policy"; then
        as_root rm -f "$policy"
    fi
}

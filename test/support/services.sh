# SPDX-License-Identifier: MIT
# Debian's packages of servers start and enable their services. Tests start their own servers, so a service that is
# new after an installation is stopped and disabled. Other services do not change.

policy=/usr/sbin/policy-rc.d
policy_title="# Made by test/run.sh for the time of an installation: services that are new are not started."
services_before=$SSE_BUILD/services-before

# The names of units, and of scripts of System V init.
list_services() {
    for directory in /etc/init.d /lib/systemd/system /etc/systemd/system; do
        ls "$directory" 2>/dev/null
    done | grep -v '[@ ]' | sort -u
}

# A file that exists already belongs to the user, or is ours from an interrupted run.
may_set_policy() {
    [ ! -e "$policy" ] || grep -qxF "$policy_title" "$policy"
}

before_services() {
    list_services >"$services_before"
    may_set_policy || return 0
    {
        echo '#!/bin/sh'
        echo "$policy_title"
        # Called with options, the name of the service, and the action. shellcheck disable=SC2016
        echo 'for name in "$@"; do case $name in -*) ;; *) break ;; esac; done'
        echo "grep -qxF -e \"\$name\" -e \"\$name.service\" '$services_before' || exit 101"
    } | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
}

# stop_service NAME: the service may run in spite of our policy, if the user has another one.
stop_service() {
    case $1 in
    *.service | *.socket | *.timer | *.path)
        [ ! -d /run/systemd/system ] || as_root systemctl stop "$1"
        if have systemctl; then
            as_root systemctl disable "$1"
        else
            # The policy works only for the scripts of packages.
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

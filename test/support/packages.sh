# SPDX-License-Identifier: MIT
# Installs what is missing, from Debian's packages. Sourced by suite.sh.
. "$SSE_ROOT/test/support/services.sh"

# Debian installs servers in folders that are not in every user's PATH.
PATH=$PATH:/usr/sbin:/sbin

apt_log=$SSE_BUILD/apt.log
apt_updated=$SSE_BUILD/apt-updated
# Packages that one suite could not install. The next suites do not try again.
not_installed=$SSE_BUILD/not-installed

have() {
    command -v "$1" >/dev/null 2>&1
}

# is_there WANTED: whether a command or a file exists, or one of several with | between them.
is_there() (
    IFS='|'
    for wanted in $1; do
        if have "$wanted" || [ -e "$wanted" ]; then
            exit 0
        fi
    done
    exit 1
)

# wanted_by SUITE...: prints the lines of the table for these suites, without their column.
wanted_by() {
    awk -v suites="$*" '
        BEGIN { split(suites, names, " "); for (i in names) chosen[names[i]] }
        /^#/ || NF < 3 { next }
        {
            count = split($1, users, ",")
            for (i = 1; i <= count; i++)
                if (users[i] == "every" || users[i] in chosen) {
                    $1 = ""
                    print substr($0, 2)
                    break
                }
        }' "$SSE_ROOT/test/support/packages"
}

# missing_packages SUITE...: prints the Debian packages that are missing.
missing_packages() {
    wanted_by "$@" | while read -r wanted packages; do
        is_there "$wanted" || echo "$packages"
    done | tr ' ' '\n' | sort -u | tr '\n' ' '
}

packages_of() {
    awk -v wanted="$1" '!/^#/ && $2 == wanted { $1 = $2 = ""; print; exit }' "$SSE_ROOT/test/support/packages"
}

# as_root COMMAND...
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# can_install PACKAGE...: whether apt exists and may be used. Otherwise prints what to do.
can_install() {
    if ! have apt-get; then
        echo "there is no apt-get; install the contents of these Debian packages yourself: $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ] && ! have sudo; then
        echo "run as root: apt-get install $*" >&2
        return 1
    fi
}

# Another apt may be running. apt-get itself waits for dpkg's lock, but not for the lock of the lists.
update_lists() {
    tries=0
    while ! as_root apt-get -qq update >"$apt_log" 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -ge 60 ] || ! grep -q 'Could not get lock' "$apt_log"; then
            cat "$apt_log" >&2
            return 1
        fi
        [ "$tries" -gt 1 ] || echo "waiting for another apt-get" >&2
        sleep 5
    done
    : >"$apt_updated"
}

# apt_install PACKAGE...
apt_install() (
    can_install "$@" || exit 1
    [ -e "$apt_updated" ] || update_lists || exit 1
    echo "installing: $*" >&2
    trap after_services EXIT
    trap 'exit 1' HUP INT TERM
    before_services
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 install -y \
        --no-install-recommends "$@" >"$apt_log" 2>&1 || { cat "$apt_log" >&2; exit 1; }
)

# install WANTED [PACKAGE...]: unless WANTED exists, installs these packages, or those in the table.
install() {
    wanted=$1
    shift
    is_there "$wanted" && return 0
    if grep -qxF "$wanted" "$not_installed" 2>/dev/null; then
        return 1
    fi
    # shellcheck disable=SC2046
    [ $# -gt 0 ] || set -- $(packages_of "$wanted")
    [ $# -gt 0 ] && apt_install "$@" && is_there "$wanted" && return 0
    echo "missing: $wanted" >&2
    echo "$wanted" >>"$not_installed"
    return 1
}

# prepare SUITE...: prints what the suites will install, and installs it all. Each suite tries again to install what
# is still missing, and skips if that fails.
prepare() {
    : >"$not_installed"
    packages=$(missing_packages "$@")
    if [ -n "$packages" ]; then
        echo "To be installed by apt-get: $packages"
    fi
    case " $* " in *" clients "* | *" hosts "* | *" redis "* | *" proxies "* | *" workers "*)
        echo "npm puts clients for the tests into $SSE_BUILD/clients-node." ;;
    esac
    case " $* " in *" clients "* | *" hosts "* | *" proxies "*)
        echo "The suites clients, hosts and proxies need a browser: Chromium." ;;
    esac
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086
        apt_install $packages
    fi
}

#!/bin/sh
# Install edge-fer as a service: Debian 12 and 13, Raspberry Pi OS 64-bit, and their like.
#
#   deploy/install.sh [--wheels DIR] [--with NAME,...] [--without NAME,...] [--no-start] [--dry-run] [WHEEL]
#   deploy/install.sh --release NAME     switch to a release that is still there
#
# Installs this checkout, or WHEEL. What it needs is downloaded by the names, versions and hashes of requirements.txt
# (`make lock` writes it). --wheels takes everything from a folder of wheels, whose content nobody checks, and needs no
# network; the wheel of edge-fer is taken from there, too, when none is named. --with and --without: drop-ins for edgetpu-pcie, picamera2,
# mavlink-serial and pi-health; the first, second and last are switched on where their hardware is found.
# --no-start leaves the service as it is. --dry-run changes nothing and says what would be done. --root DIR works below
# DIR as if it were /, for tests. --package leaves to dpkg what is dpkg's: units, rules, user, configuration.
#
# Run it again to repair or to change drop-ins; upgrade.sh goes back when a new version does not get well. The
# configuration, /etc/edge-fer/config.yaml, is written once and kept, as is serve.yaml, that of edge-fer-serve.service,
# which reads faces for other computers and is not started by this.
# Exit code: 0 installed; 1 something is missing or failed; 2 wrong use.

set -eu

program=install
tree=$(cd "$(dirname "$0")/.." && pwd)
. "$tree/deploy/common.sh"
extras=http,mavlink,mqtt need_mb=700
drop_ins='edgetpu-pcie picamera2 mavlink-serial pi-health'
wheels='' with='' without='' release='' start=yes wheel='' package=''

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) help ;;
        --dry-run) dry_run=yes ;;
        --no-start) start='' ;;
        --package) package=yes ;;
        --wheels | --with | --without | --release | --root)
            [ $# -ge 2 ] || die 2 "expected a value after $1, found nothing"
            case $1 in
                --wheels) wheels=$2 ;;
                --with) with=$2 ;;
                --without) without=$2 ;;
                --release) release=$2 ;;
                --root) root=$2 ;;
            esac
            shift
            ;;
        -*) die 2 "expected an option of $0 --help, found $1" ;;
        *) wheel=$1 ;;
    esac
    shift
done
set_paths
python=${PYTHON:-python3}

check_names() {
    for name in $(echo "$with,$without" | tr , ' '); do
        [ -f "$tree/systemd/edge-fer.service.d/$name.conf" ] || die 2 "expected one of $drop_ins, found $name"
    done
}

# One line for each thing that is missing.
check_box() {
    missing=''
    lacks() {
        missing=yes
        echo "$program: $*" >&2
    }
    is_root || [ -n "$dry_run" ] || lacks "expected root, found $(id -un): sudo $0"
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        lacks "expected Python 3.10 or newer, found $("$python" --version 2>&1 || true): apt-get install python3"
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            lacks "expected Python's module venv, found none: apt-get install python3-venv"
        "$python" -c 'import sys; sys.exit(sys.maxsize <= 2**32)' ||
            lacks "expected a 64-bit system, found a 32-bit Python: install the 64-bit image of the operating system"
    fi
    case $(uname -m) in
        x86_64 | aarch64) ;;
        *) lacks "expected x86_64 or aarch64, found $(uname -m): there are no wheels for it" ;;
    esac
    at=$prefix
    while [ ! -d "$at" ]; do at=$(dirname "$at"); done
    free_mb=$(df -Pk "$at" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free_mb" -ge "$need_mb" ] || lacks "expected $need_mb MB free below $at, found $free_mb: make room"
    if [ -z "$package" ] && [ "$(dpkg-query --root="$root/" --show \
        --showformat='${db:Status-Status}' edge-fer 2>/dev/null)" = installed ]; then
        lacks "expected no Debian package of edge-fer, found one: apt-get remove edge-fer, which keeps the configuration"
    fi
    [ -z "$missing" ] || exit 1
}

# Set `wheel`: as named, from --wheels, or built from this checkout.
find_wheel() {
    if [ -z "$wheel" ] && [ -n "$wheels" ]; then
        wheel=$(ls "$wheels"/edge_fer-*.whl 2>/dev/null) || die 2 "expected a wheel edge_fer-*.whl in $wheels, found none"
        [ "$(echo "$wheel" | wc -l)" -eq 1 ] || die 2 "expected one wheel of edge-fer in $wheels, found several: name one"
    elif [ -z "$wheel" ]; then
        [ -f "$tree/pyproject.toml" ] || die 2 "expected a checkout in $tree, found none: name a wheel"
        if [ -n "$dry_run" ]; then
            say "would build a wheel of $tree; its hash becomes HASH in the names below"
            wheel=edge_fer-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$tree/pyproject.toml")-py3-none-any.whl
            name_release HASH
            return 0
        fi
        say "building a wheel of $tree"
        "$python" -m venv "$scratch/venv"
        set -- --quiet --disable-pip-version-check --no-cache-dir
        "$scratch/venv/bin/python" -m pip install "$@" --only-binary :all: --require-hashes \
            --requirement "$tree/deploy/requirements-build.txt" || die 1 "pip could not install what builds it; see above"
        "$scratch/venv/bin/python" -m pip wheel "$@" --no-deps --no-build-isolation \
            --wheel-dir "$scratch" "$tree" || die 1 "cannot build a wheel of $tree; see above"
        wheel=$(ls "$scratch"/edge_fer-*.whl)
    fi
    [ -f "$wheel" ] || die 2 "expected a wheel, found no file $wheel"
    name_release "$(sha256sum "$wheel" | cut -c 1-8)"
}

# name_release HASH, after the version of the wheel and of Python, too.
name_release() {
    version=$(basename "$wheel" | cut -d - -f 2)
    release=$version-$1-$("$python" -c 'import sys; print("py%d.%d" % sys.version_info[:2])')
}

# Make the virtual environment of the wheel, unless it is there.
make_release() {
    folder=$prefix/releases/$release
    [ ! -e "$folder/.complete" ] || return 0
    say "installing $release into $folder"
    [ -n "$dry_run" ] || unfinished=$folder
    act rm -rf "$folder"
    act mkdir -p "$prefix/releases"
    act "$python" -m venv "$folder"
    set -- --quiet --disable-pip-version-check --no-cache-dir
    if [ -n "$wheels" ]; then
        act "$folder/bin/python" -m pip install "$@" --no-index --find-links "$wheels" "${wheel}[$extras]" ||
            die 1 "pip could not install $wheel; see above"
    else
        act "$folder/bin/python" -m pip install "$@" --only-binary :all: --require-hashes \
            --requirement "$tree/deploy/requirements.txt" || die 1 "pip could not install what $wheel needs; see above"
        act "$folder/bin/python" -m pip install "$@" --no-deps "$wheel" || die 1 "pip could not install $wheel; see above"
        act "$folder/bin/python" -m pip check --disable-pip-version-check >&2 ||
            die 1 "expected what requirements.txt of $tree has to be what $wheel needs; take both from one version"
    fi
    copy_tree "$folder/share/edge-fer" # so that going back brings its units, rules and scripts back, too
    act touch "$folder/.complete"
    unfinished=''
}

# make_folder PATH, and those above it
make_folder() {
    if [ ! -d "$root$1" ]; then
        make_folder "$(dirname "$1")"
        act mkdir "$root$1"
        record folder "$1"
    fi
}

# place SOURCE DESTINATION: a file of the release, elsewhere.
place() {
    make_folder "$(dirname "$2")"
    act install -m 644 "$folder/share/edge-fer/$1" "$root$2"
    record file "$2"
}

make_user() {
    for account in "group apex" "group edge-fer" "passwd edge-fer"; do
        # shellcheck disable=SC2086  # two words
        has_account $account || record ${account%% *} "${account##* }"
    done
    if command -v systemd-sysusers >/dev/null; then
        act systemd-sysusers --root="$root/" "$root/etc/sysusers.d/edge-fer.conf"
    else # a root without systemd, as in a container
        has_account group apex || act groupadd --system apex
        has_account group edge-fer || act groupadd --system edge-fer
        has_account passwd edge-fer || act useradd --system --gid edge-fer --home-dir /var/lib/edge-fer \
            --shell /usr/sbin/nologin edge-fer
    fi
}

make_config() {
    act install -d -m 750 "$etc"
    for name in config.yaml serve.yaml; do
        if [ -e "$etc/$name" ]; then
            say "keeping $etc/$name"
        elif [ -f "$folder/share/edge-fer/systemd/$name" ] || [ -n "$dry_run" ]; then # an older release has one only
            act install -m 644 "$folder/share/edge-fer/systemd/$name" "$etc/$name"
        fi
    done
    # Passwords and tokens may be in there.
    gid=$(awk -F : '$1 == "edge-fer" { print $3 }' "$root/etc/group" 2>/dev/null || true)
    act chgrp "${gid:-edge-fer}" "$etc"
}

# Whether the box has what a drop-in is for; a serial port says nothing of what is behind it.
has_hardware() {
    case $1 in
        edgetpu-pcie) ls -d "$root"/sys/class/apex/apex_* ;;
        picamera2) ls -d "$root"/usr/lib/python3/dist-packages/picamera2 ;;
        pi-health) ls "$root"/dev/vcio ;;
        *) false ;;
    esac >/dev/null 2>&1
}

# is_in WORD LIST, separated by commas
is_in() {
    case ",$2," in
        *",$1,"*) true ;;
        *) false ;;
    esac
}

place_drop_ins() {
    for name in $drop_ins; do
        units=edge-fer
        case $name in
            edgetpu-pcie | pi-health) units='edge-fer edge-fer-serve' ;; # which has no camera and no MAVLink
        esac
        path=/etc/systemd/system/edge-fer.service.d/$name.conf
        if is_in "$name" "$without"; then
            for unit in $units; do act rm -f "$root/etc/systemd/system/$unit.service.d/$name.conf"; done
        elif is_in "$name" "$with" || [ -e "$root$path" ] || has_hardware "$name"; then
            say "switched on: $name"
            for unit in $units; do
                place "systemd/edge-fer.service.d/$name.conf" "/etc/systemd/system/$unit.service.d/$name.conf"
            done
        fi
    done
}

place_files() {
    first=''
    [ -e "$list" ] || first=yes
    place systemd/edge-fer.sysusers.conf /etc/sysusers.d/edge-fer.conf
    place deploy/udev/60-edge-fer.rules /etc/udev/rules.d/60-edge-fer.rules
    for unit in edge-fer.service edge-fer-serve.service edge-fer-usb.socket edge-fer-usb@.service; do
        if [ -f "$folder/share/edge-fer/systemd/$unit" ] || [ -n "$dry_run" ]; then # an older release has fewer
            place "systemd/$unit" "/etc/systemd/system/$unit"
        fi
    done
    place_drop_ins
    link /opt/edge-fer/current/bin/edge-fer /usr/local/bin/edge-fer
    if [ -n "$first" ]; then # later, whether it starts with the box is the owner's choice
        link /etc/systemd/system/edge-fer.service /etc/systemd/system/multi-user.target.wants/edge-fer.service
    fi
}

# link TARGET PATH
link() {
    make_folder "$(dirname "$2")"
    act ln -sfn "$1" "$root$2"
    record file "$2"
}

switch() {
    act ln -sfn "releases/$release" "$prefix/current.new"
    act mv -T "$prefix/current.new" "$prefix/current"
}

clean_up() {
    rm -rf "$scratch"
    if [ -n "$unfinished" ]; then rm -rf "$unfinished"; fi
}

check_names
check_box
unfinished='' scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
if [ -n "$release" ]; then
    folder=$prefix/releases/$release
    [ -e "$folder/.complete" ] || die 2 "expected one of $prefix/releases, found $release"
else
    find_wheel
    make_release
fi
if [ -z "$package" ]; then
    place_files
    make_user
    make_config
fi
switch
reload_managers
if [ -n "$start" ] && ! is_live; then
    say "systemd does not run here: nothing is started"
elif [ -n "$start" ]; then
    systemd --no-block restart edge-fer.service
    systemd --no-block try-restart edge-fer-serve.service # it is started by its owner only
fi
[ -n "$dry_run" ] || say "$release is installed; settings: $etc/config.yaml; how it is: systemctl status edge-fer"

# shellcheck shell=sh disable=SC2154  # program, tree
# What install.sh, upgrade.sh, uninstall.sh and build_deb.sh have in common; they source it and set `program` and `tree`.
#
# On the box:
#   /opt/edge-fer/releases/VERSION-HASH-PYTHON   a virtual environment; its share/edge-fer holds units, rules, scripts
#   /opt/edge-fer/current                        link to the release in use; switching back is one rename
#   /opt/edge-fer/installed                      what was put elsewhere, a line each: uninstall.sh goes by it
#   /etc/edge-fer/config.yaml, serve.yaml        never overwritten

root='' dry_run='' # --root: as if that folder were /, for tests

die() {
    code=$1
    shift
    echo "$program: $*" >&2
    exit "$code"
}

say() { echo "$program: $*"; }

# Run a command, or say what would be run.
act() {
    if [ -n "$dry_run" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

# Print the head of the script, up to its first empty line.
help() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 0
}

is_root() { [ -n "$root" ] || [ "$(id -u)" -eq 0 ]; }

# systemd runs here.
is_live() { [ -d "$root/run/systemd/system" ]; }

systemd() {
    if is_live; then
        act systemctl "$@"
    fi
}

# Name the paths below the root; after the arguments are read.
# shellcheck disable=SC2034  # used by those who source this
set_paths() {
    root=${root%/}
    [ -d "$root/" ] || die 2 "expected a folder after --root, found none at $root"
    prefix=$root/opt/edge-fer
    etc=$root/etc/edge-fer
    list=$prefix/installed
    state="$root/var/lib/edge-fer"
    cache="$root/var/cache/edge-fer"
}

# Seconds since the start of the box; its wall clock may jump.
up_s() {
    read -r seconds _ </proc/uptime
    echo "${seconds%.*}"
}

# copy_tree FOLDER: units, rules, scripts, and docs/install.md with what it links to.
copy_tree() {
    act mkdir -p "$1/deploy" "$1/docs"
    act cp -R "$tree/systemd" "$1/"
    act cp -R "$tree/deploy/udev" "$tree"/deploy/common.sh "$tree"/deploy/*install.sh "$tree"/deploy/upgrade.sh \
        "$tree"/deploy/healthz.py "$tree"/deploy/requirements*.txt "$tree"/deploy/edge-fer-* "$1/deploy/"
    act cp -R "$tree"/deploy/*.md "$tree/deploy/Containerfile" "$tree/deploy/grafana" "$tree/deploy/recorded" "$1/deploy/"
    act cp "$tree/docs/install.md" "$1/docs/"
}

# record KIND NAME: remember what uninstall.sh shall take away.
record() {
    [ -n "$dry_run" ] || grep -qxF "$1 $2" "$list" 2>/dev/null || echo "$1 $2" >>"$list"
}

# has_account DATABASE NAME: whether a user (passwd) or group exists below the root.
has_account() { grep -q "^$2:" "$root/etc/$1" 2>/dev/null; }

# Tell systemd and udev, where they run, that their files have changed.
reload_managers() {
    systemd daemon-reload
    if [ -S "$root/run/udev/control" ]; then # no container has it
        act udevadm control --reload
        act udevadm trigger --subsystem-match=usb --subsystem-match=apex --subsystem-match=video4linux \
            --subsystem-match=media --subsystem-match=dma_heap
    fi
}

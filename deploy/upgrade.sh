#!/bin/sh
# Bring a new version of edge-fer into service, and go back when it does not get well.
#
#   deploy/upgrade.sh [--timeout SECONDS] [--dry-run] [--wheels DIR] [--with NAME,...] [--without NAME,...] [WHEEL]
#
# Run from the new checkout. Installs the new version beside the old one, switches, restarts, and looks for 60 s: the
# service must come up (READY=1), stay up with one process for a sixth of that time, and answer 200 at /healthz if it
# did so before. Else the old version is switched back, units and rules included, and started. The one before is kept,
# older ones go. A service that was not running is not started. --timeout and --dry-run come first, then what install.sh
# takes.
# Exit code: 0 the new version is installed, and in service if one was; 1 it is not, and the old one is; 2 wrong use.

set -eu

program=upgrade
tree=$(cd "$(dirname "$0")/.." && pwd)
. "$tree/deploy/common.sh"
timeout_s=60 package=''

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) help ;;
        --dry-run) dry_run=yes ;;
        --package) package=--package ;;
        --timeout | --root)
            [ $# -ge 2 ] || die 2 "expected a value after $1, found nothing"
            case $1 in
                --timeout) timeout_s=$2 ;;
                --root) root=$2 ;;
            esac
            shift
            ;;
        *) break ;;
    esac
    shift
done
set_paths
[ -L "$prefix/current" ] || die 2 "expected an installed edge-fer, found none: run install.sh"

install() {
    # shellcheck disable=SC2086  # options or nothing
    "$tree/deploy/install.sh" --root "$root/" $package ${dry_run:+--dry-run} "$@"
}

in_use() { basename "$(readlink "$prefix/current")"; }

healthz() { "$prefix/current/bin/python" "$tree/deploy/healthz.py" "$etc/config.yaml" 2>/dev/null || echo silent; }

is_well() {
    for service in $running; do
        systemctl is-active --quiet "$service" || return 1
    done
    [ "$health_before" != 200 ] || [ "$(healthz)" = 200 ]
}

pids() {
    for service in $running; do
        systemctl show --value --property MainPID "$service"
    done
}

restart() {
    for service in $running; do
        systemd --no-block restart "$service"
    done
}

# Wait until every service that ran has been well for a while, with the same process.
gets_well() {
    end=$(($(up_s) + timeout_s)) pid='' since=0
    while [ "$(up_s)" -lt "$end" ]; do
        found=$(pids)
        if ! is_well; then
            pid=''
        elif [ "$found" != "$pid" ]; then
            pid=$found since=$(up_s)
        elif [ $(($(up_s) - since)) -ge $((timeout_s / 6)) ]; then
            return 0
        fi
        sleep 1
    done
    return 1
}

drop_old_releases() {
    for folder in "$prefix"/releases/*; do
        case $(basename "$folder") in
            "$before" | "$after") ;;
            *) rm -rf "$folder" ;;
        esac
    done
}

# go_back WHY
go_back() {
    say "$1: going back to $before" >&2
    tree=$prefix/releases/$before/share/edge-fer
    install --no-start --release "$before"
    if [ -n "$running" ]; then
        restart
        gets_well || die 1 "$before is back, but is not well either"
    fi
    die 1 "$before is back${running:+ in service}"
}

before=$(in_use) health_before=off running=''
if is_live && systemctl is-active --quiet edge-fer.service; then
    running=edge-fer.service health_before=$(healthz)
fi
if is_live && systemctl is-active --quiet edge-fer-serve.service; then # which may be the only one, on another box
    running="$running edge-fer-serve.service"
fi
if ! install --no-start "$@"; then
    [ "$(in_use)" != "$before" ] || die 1 "nothing was switched: $before stays${running:+ in service}"
    go_back "$(in_use) could not be installed"
fi
if [ -n "$dry_run" ]; then
    if [ -n "$running" ]; then
        restart
        say "would watch it for $timeout_s s, and go back to $before if it does not get well"
    fi
    say "would keep $before, too, and remove older releases"
    exit 0
fi
after=$(in_use)
if [ "$before" = "$after" ]; then
    say "$after was installed already"
    exit 0
fi
if [ -n "$running" ]; then
    restart
    gets_well || go_back "$after did not get well within $timeout_s s (journalctl -u edge-fer)"
fi
drop_old_releases
say "$after is installed${running:+ and in service}"

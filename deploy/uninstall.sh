#!/bin/sh
# Take edge-fer off this box, as deploy/install.sh put it there.
#
#   deploy/uninstall.sh [--purge] [--dry-run]
#   /opt/edge-fer/current/share/edge-fer/deploy/uninstall.sh, the same without a checkout
#
# Keeps the configuration, /etc/edge-fer, and what the service wrote into /var/lib/edge-fer, if anything; --purge takes
# these, too. --dry-run changes nothing and says what would be done. --root DIR works below DIR as if it were /.
# Exit code: 0 it is gone, or was never there; 1 it failed; 2 wrong use.

set -eu

program=uninstall
tree=$(cd "$(dirname "$0")/.." && pwd)
. "$tree/deploy/common.sh"
purge=''

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) help ;;
        --dry-run) dry_run=yes ;;
        --purge) purge=yes ;;
        --root)
            [ $# -ge 2 ] || die 2 "expected a value after $1, found nothing"
            root=$2
            shift
            ;;
        *) die 2 "expected an option of $0 --help, found $1" ;;
    esac
    shift
done
set_paths
is_root || [ -n "$dry_run" ] || die 1 "expected root, found $(id -un): sudo $0"

# remove KIND NAME, as recorded by install.sh
remove() {
    case $1 in
        file) act rm -f "$root$2" ;;
        folder) [ ! -d "$root$2" ] || act rmdir --ignore-fail-on-non-empty "$root$2" ;;
        passwd) ! has_account passwd "$2" || act userdel --prefix "$root/" "$2" ;;
        group) ! has_account group "$2" || act groupdel --prefix "$root/" "$2" ;;
    esac
}

found=''
if [ -e "$list" ] || [ -d "$prefix" ]; then
    found=yes
    say "removing $prefix, and what install.sh put elsewhere"
    systemd disable --now edge-fer.service edge-fer-serve.service
    systemd stop edge-fer-usb.socket
    if [ -e "$list" ]; then
        tac "$list" | while read -r kind name; do
            remove "$kind" "$name"
        done
    fi
    reload_managers
    act rm -rf "$prefix" "$cache"
fi
if [ -n "$purge" ]; then
    # Tokens and passwords may lie elsewhere, and other programs may read them there.
    grep -hos '_file: *"\{0,1\}/[^]},"# ]*' "$etc/config.yaml" "$etc/serve.yaml" | sed 's/.*_file: *"\{0,1\}//' | while read -r file; do
        case $file in
            /etc/edge-fer/*) ;;
            *) [ ! -e "$root$file" ] || say "not removed, though the configuration names it: $file" ;;
        esac
    done
    for folder in "$etc" "$state"; do
        [ -d "$folder" ] || continue
        found=yes
        say "removing $folder"
        act rm -rf "$folder"
    done
else
    [ ! -d "$state" ] || act rmdir --ignore-fail-on-non-empty "$state"
    [ ! -d "$etc" ] || act chgrp 0 "$etc"
    for folder in "$etc" "$state"; do
        [ ! -d "$folder" ] || say "kept: $folder; --purge takes it"
    done
fi
[ -n "$found" ] || say "expected $prefix, found none: nothing to do"

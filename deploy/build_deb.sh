#!/bin/sh
# Make a Debian package of this checkout that carries all its wheels: out/edge-fer_VERSION_ARCH.deb.
#
#   deploy/build_deb.sh [--arch amd64|arm64] [--pythons "3.11 3.13"] [--wheels DIR] [--out DIR]
#
# For the machine's own architecture by default, and for the Pythons of Debian 12 and 13. Wheels are downloaded with
# pip, by the hashes of requirements.txt; --wheels takes them from a folder instead, and needs no network. Needs dpkg-deb, and Python 3.10 or newer with venv.
# They are left in out/wheels-ARCH, for make_root.sh. DEBFULLNAME and DEBEMAIL name the maintainer.
# Exit code: 0 made; 1 it failed; 2 wrong use.

set -eu

program=build_deb
tree=$(cd "$(dirname "$0")/.." && pwd)
. "$tree/deploy/common.sh"
arch=$(dpkg --print-architecture) pythons='3.11 3.13' wheels='' out=$tree/out

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) help ;;
        --arch | --pythons | --wheels | --out)
            [ $# -ge 2 ] || die 2 "expected a value after $1, found nothing"
            case $1 in
                --arch) arch=$2 ;;
                --pythons) pythons=$2 ;;
                --wheels) wheels=$2 ;;
                --out) out=$2 ;;
            esac
            shift
            ;;
        *) die 2 "expected an option of $0 --help, found $1" ;;
    esac
    shift
done
case $arch in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) die 2 "expected amd64 or arm64, found $arch" ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
package=$scratch/package share=$scratch/package/usr/share/edge-fer
maintainer="${DEBFULLNAME:-edge-fer maintainers} <${DEBEMAIL:-edge-fer@example.org}>"
umask 022

pip() { "$scratch/venv/bin/python" -m pip "$@" --quiet --disable-pip-version-check; }

# Every wheel that a Debian with one of the Pythons needs.
collect_wheels() {
    if [ -n "$wheels" ]; then
        cp "$wheels"/*.whl "$share/wheels/"
        return
    fi
    python3 -m venv "$scratch/venv"
    pip install --only-binary=:all: --require-hashes --requirement "$tree/deploy/requirements-build.txt"
    pip wheel --no-deps --no-build-isolation --wheel-dir "$share/wheels" "$tree"
    for python in $pythons; do
        set -- --only-binary=:all: --implementation cp --python-version "$python"
        set -- "$@" --abi "cp$(echo "$python" | tr -d .)" --abi abi3 --abi none
        for glibc in 2_17 2_24 2_26 2_27 2_28 2_31 2_34 2_35 2_36; do # up to Debian 12's
            set -- "$@" --platform "manylinux_${glibc}_$machine"
        done
        pip download "$@" --platform "manylinux2014_$machine" --dest "$share/wheels" --no-deps \
            --require-hashes --requirement "$tree/deploy/requirements.txt"
    done
}

# What install.sh, too, would put there, at the places of a package.
copy_files() {
    mkdir -p "$share/wheels" "$package/usr/bin" "$package/usr/share/doc/edge-fer"
    copy_tree "$share"
    for unit in edge-fer.service edge-fer-serve.service edge-fer-usb.socket edge-fer-usb@.service; do
        install -D -m 644 "$tree/systemd/$unit" "$package/usr/lib/systemd/system/$unit"
    done
    install -D -m 644 "$tree/systemd/edge-fer.sysusers.conf" "$package/usr/lib/sysusers.d/edge-fer.conf"
    install -D -m 644 "$tree/deploy/udev/60-edge-fer.rules" "$package/usr/lib/udev/rules.d/60-edge-fer.rules"
    for name in config.yaml serve.yaml; do
        install -D -m 644 "$tree/systemd/$name" "$package/etc/edge-fer/$name"
    done
    ln -s /opt/edge-fer/current/bin/edge-fer "$package/usr/bin/edge-fer"
    cp "$tree/deploy/debian/copyright" "$package/usr/share/doc/edge-fer/"
}

# `python3 (<< 3.12) | python3 (>= 3.13), python3 (<< 3.14)` for 3.11 and 3.13: what lies between them is excluded.
python_range() {
    last='' range=''
    for python in $pythons; do
        [ -z "$last" ] || range="$range | python3 (>= $python), "
        last="3.$((${python#3.} + 1))"
        range="${range}python3 (<< $last)"
    done
    echo "$range"
}

write_man_page() {
    mkdir -p "$package/usr/share/man/man1"
    sed "s/@VERSION@/$version/" "$tree/deploy/debian/edge-fer.1" | gzip -9 --no-name \
        >"$package/usr/share/man/man1/edge-fer.1.gz"
}

write_changelog() {
    made=$(date --utc --rfc-email --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}")
    printf 'edge-fer (%s) unstable; urgency=medium\n\n  * What changed is told in CHANGELOG.md.\n\n -- %s  %s\n' \
        "$version" "$maintainer" "$made" | gzip -9 --no-name >"$package/usr/share/doc/edge-fer/changelog.gz"
    cp "$tree/CHANGELOG.md" "$package/usr/share/doc/edge-fer/"
}

write_control() {
    mkdir "$package/DEBIAN"
    sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@PYTHONS@/$(python_range)/" \
        -e "s/@MAINTAINER@/$maintainer/" \
        -e "s/@SIZE@/$(du -ks "$package" | cut -f 1)/" "$tree/deploy/debian/control" >"$package/DEBIAN/control"
    cp "$tree/deploy/debian/conffiles" "$tree/deploy/debian/triggers" "$package/DEBIAN/"
    for script in preinst postinst prerm postrm; do
        install -m 755 "$tree/deploy/debian/$script" "$package/DEBIAN/$script"
    done
    (cd "$package" && find usr -type f -exec md5sum {} + >DEBIAN/md5sums)
}

copy_files
collect_wheels
version=$(basename "$(echo "$share"/wheels/edge_fer-*.whl)" | cut -d - -f 2)
write_changelog
write_man_page
chmod -R u=rwX,go=rX "$package"
write_control
mkdir -p "$out"
rm -rf "$out/wheels-$arch"
cp -R "$share/wheels" "$out/wheels-$arch"
# Wheels are compressed already.
dpkg-deb --root-owner-group -Zgzip -z1 --build "$package" "$out/edge-fer_${version}_$arch.deb"

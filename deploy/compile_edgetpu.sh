#!/bin/sh
# Compile a classifier for the Edge TPU, and keep the result only when all of it runs there.
#
#   deploy/compile_edgetpu.sh [MODEL] [--models DIR]
#
# MODEL is a name in DIR/manifest.yaml (lite); DIR is models/ beside this folder. The compiler is
# `edgetpu_compiler` where that is installed, else the container of deploy/compiler/, with podman or docker. It is for
# x86-64 only: compile there, and copy the folder to the board.
#
# Out, in DIR: MODEL_edgetpu.tflite, MODEL_edgetpu.log, and `edgetpu` in the model's manifest entry.
# Exit code: 0 compiled and kept; 2 wrong use; 4 the model or what became of it; 5 no compiler.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
edge_fer=${EDGE_FER:-edge-fer}
image=edge-fer-edgetpu-compiler
timeout_s=900
model=lite
models=$here/../models

die() {
    code=$1
    shift
    echo "compile_edgetpu: $*" >&2
    exit "$code"
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        --models)
            [ $# -ge 2 ] || die 2 "expected a folder after --models, found nothing"
            models=$2
            shift
            ;;
        -*) die 2 "expected a model's name or --models DIR, found $1; see --help" ;;
        *) model=$1 ;;
    esac
    shift
done

models=$(cd "$models" 2>/dev/null && pwd) || die 2 "expected a folder of models, found none; see --help"
source_file=$models/$model.tflite
[ -f "$source_file" ] || die 4 "expected $source_file, found none; see \`edge-fer models list\`"
container=
if ! command -v edgetpu_compiler >/dev/null; then
    container=$(command -v podman || command -v docker) ||
        die 5 "expected edgetpu_compiler, podman or docker, found none of them; see deploy/README.md"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$source_file" "$work/"

# Checked before anybody waits for the compiler: the file against its hash, its operators against the rules.
status=0
"$edge_fer" lab edgetpu-check "$model" --models "$models" || status=$?
case $status in
    0) ;;
    1) echo "compile_edgetpu: the compiler is asked nevertheless; it has the last word" >&2 ;;
    *) die "$status" "the model cannot be checked" ;;
esac

compile() {
    if [ -z "$container" ]; then
        edgetpu_compiler --show_operations --timeout_sec "$timeout_s" --out_dir "$work" "$work/$model.tflite"
        return
    fi
    "$container" run --rm --platform linux/amd64 --network none --volume "$work:/work" "$image" \
        edgetpu_compiler --show_operations --timeout_sec "$timeout_s" --out_dir /work "/work/$model.tflite"
}

if [ -n "$container" ]; then
    "$container" build --platform linux/amd64 --tag "$image" \
        --file "$here/compiler/Containerfile" "$here/compiler" >&2 ||
        die 5 "the container of deploy/compiler/ cannot be built; see deploy/README.md"
fi

status=0
compile >"$work/compiler.log" 2>&1 || status=$?
cat "$work/compiler.log"
[ "$status" -eq 0 ] || die 4 "the compiler ended with status $status; its log is above"
[ -f "$work/${model}_edgetpu.tflite" ] || die 4 "the compiler wrote no ${model}_edgetpu.tflite; its log is above"
"$edge_fer" lab edgetpu-record "$model" --models "$models" \
    --compiled "$work/${model}_edgetpu.tflite" --log "$work/compiler.log"

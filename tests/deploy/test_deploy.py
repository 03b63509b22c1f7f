"""The scripts of deploy/, with a compiler made of shell and a board without an Edge TPU."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_fer.inference.model_store import MANIFEST, ModelStore

pytest.importorskip("ai_edge_litert.schema_py_generated")
from tests.lab.edgetpu.test_compiler_log import CRASH, NOT_CACHED, ON_CPU, SUCCESS, compiled_model, models_folder
from tests.support import ROOT
from tests.support.debian import need_debian

DEPLOY = ROOT / "deploy"
COMPILE, VERIFY = DEPLOY / "compile_edgetpu.sh", DEPLOY / "verify_board.sh"
REAL = f'exec "{sys.executable}" -m edge_fer "$@"'

# As the real one: a log on standard output, the file in --out_dir. How it behaves lies beside it: `log`, `status`.
COMPILER = """
while [ $# -gt 1 ]; do
    [ "$1" != --out_dir ] || out=$2
    shift
done
[ -f "$1" ] || exit 9
cat "$STUB/log"
[ ! -f "$STUB/compiled" ] || cp "$STUB/compiled" "$out/tiny_edgetpu.tflite"
exit "$(cat "$STUB/status")"
"""
# Runs what it is told to run in the container, with the folder that would be mounted at /work.
CONTAINER = """
echo "$@" >>"$STUB/container"
[ "$1" = run ] || exit 0
while [ "$1" != edgetpu_compiler ]; do
    [ "$1" != --volume ] || work=${2%:/work}
    shift
done
shift
out=$work
cat "$STUB/log"
cp "$STUB/compiled" "$out/tiny_edgetpu.tflite"
"""


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """A folder for PATH, with what the scripts need and nothing that this machine happens to have."""
    need_debian("openssh-client")
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "cp", "dirname", "ls", "mkdir", "mktemp", "mv", "rm", "sed", "sha256sum", "sh", "tail", "tr",
                 "grep", "ssh-keygen"):  # fmt: skip
        found = shutil.which(tool)
        assert found is not None, tool
        (folder / tool).symlink_to(found)
    script(folder / "edge-fer", REAL)
    (folder / "log").write_text(SUCCESS)
    (folder / "status").write_text("0")
    (folder / "compiled").write_bytes(compiled_model())
    return folder


def run(stub: Path, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(stub), "STUB": str(stub)}
    command = [program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def compile_tiny(stub: Path) -> subprocess.CompletedProcess[str]:
    folder = stub.parent / "models"
    folder.mkdir()
    return run(stub, COMPILE, "tiny", "--models", str(models_folder(folder)))


def entry(stub: Path) -> object:
    return ModelStore(stub.parent / "models").specs["tiny"].edgetpu


@pytest.mark.slow
def test_a_compiled_model_and_its_hash_are_in_the_manifest(stub: Path) -> None:
    script(stub / "edgetpu_compiler", COMPILER)
    done = compile_tiny(stub)
    assert done.returncode == 0, done.stderr
    assert "tiny: clean, all 7 operators on the Edge TPU" in done.stdout
    assert "Mapped to Edge TPU" in done.stdout
    folder = stub.parent / "models"
    assert ModelStore(folder).load_compiled("tiny", "classify") == compiled_model()
    assert hashlib.sha256(compiled_model()).hexdigest() in (folder / MANIFEST).read_text()
    assert (folder / "tiny_edgetpu.log").read_text() == SUCCESS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "message"), [(ON_CPU, "found 2 on the CPU"), (NOT_CACHED, "none cached and")], ids=["cpu", "not cached"]
)
def test_a_model_that_is_not_wholly_on_the_chip_is_not_kept(stub: Path, log: str, message: str) -> None:
    script(stub / "edgetpu_compiler", COMPILER)
    script(stub / "edge-fer", f'[ "$2" != edgetpu-check ] || exit 0\n{REAL}')
    (stub / "log").write_text(log)
    done = compile_tiny(stub)
    assert done.returncode == 4
    assert message in done.stderr
    assert entry(stub) is None
    assert not (stub.parent / "models" / "tiny_edgetpu.tflite").exists()


@pytest.mark.parametrize(("status", "message"), [("134", "ended with status 134"), ("0", "wrote no tiny_edgetpu")])
def test_a_compiler_that_crashes_is_quoted(stub: Path, status: str, message: str) -> None:
    script(stub / "edgetpu_compiler", COMPILER)
    script(stub / "edge-fer", "exit 0")
    (stub / "log").write_text(CRASH)
    (stub / "status").write_text(status)
    (stub / "compiled").unlink()
    done = compile_tiny(stub)
    assert done.returncode == 4
    assert "Internal compiler error. Aborting!" in done.stdout
    assert message in done.stderr
    assert entry(stub) is None


def test_a_file_that_is_not_the_manifests_is_never_compiled(stub: Path) -> None:
    script(stub / "edgetpu_compiler", 'touch "$STUB/ran"')
    folder = stub.parent / "models"
    folder.mkdir()
    models_folder(folder)
    (folder / "tiny.tflite").write_bytes(b"something else")
    done = run(stub, COMPILE, "tiny", "--models", str(folder))
    assert done.returncode == 4
    assert not (stub / "ran").exists()


def test_without_a_compiler_it_says_what_to_install(stub: Path) -> None:
    done = compile_tiny(stub)
    assert done.returncode == 5
    assert "expected edgetpu_compiler, podman or docker, found none" in done.stderr


def test_the_container_does_it_where_the_compiler_is_not_installed(stub: Path) -> None:
    script(stub / "docker", CONTAINER)
    script(stub / "edge-fer", 'echo "$@" >>"$STUB/edge-fer.log"')
    done = compile_tiny(stub)
    assert done.returncode == 0, done.stderr
    build, ran = (stub / "container").read_text().splitlines()
    assert build.startswith("build --platform linux/amd64")
    assert (DEPLOY / "compiler" / "Containerfile").is_file()
    assert ran.endswith("--out_dir /work /work/tiny.tflite")
    assert "edgetpu-record tiny" in (stub / "edge-fer.log").read_text()


@pytest.mark.parametrize("arguments", [("--wrong",), ("--models",), ("--models", "/nowhere")])
def test_compile_refuses_what_it_does_not_know(stub: Path, arguments: tuple[str, ...]) -> None:
    assert run(stub, COMPILE, *arguments).returncode == 2


@pytest.mark.parametrize("program", [COMPILE, VERIFY], ids=["compile", "verify"])
def test_help_is_the_head_of_the_script(stub: Path, program: Path) -> None:
    done = run(stub, program, "--help")
    assert done.returncode == 0
    assert f"deploy/{program.name}" in done.stdout
    assert "Exit code: 0" in done.stdout
    assert "set -eu" not in done.stdout


# Writes what the real ones write; `edge-fer lab edgetpu-verify` itself runs in tests/lab/edgetpu/test_verify.py.
BOARD = """
echo "$EDGE_FER_CLASSIFY__BACKEND $@" >>"$STUB/edge-fer.log"
while [ $# -gt 0 ]; do
    case $1 in
        doctor) echo '[]'; exit 2 ;;
        edgetpu-verify) verify=yes ;;
        --out) out=$2 ;;
        --save) save=$2 ;;
    esac
    shift
done
if [ -n "$verify" ]; then
    printf 'board,source,figure,unit,value\\n"Pi 4, 4 cores",verify,golden faces,1,64.0\\n' >"$out/verify.csv"
    printf '{\\n  "board": "Pi 4, 4 cores",\\n  "failed": []\\n}\\n' >"$out/verify.json"
    exit "$(cat "$STUB/status")"
fi
printf 'board,source,figure,unit,value\\n"Pi 4, 4 cores",sample,live rate,1/s,30.0\\n' >"$save"
"""


def test_a_board_gets_one_file_of_figures_signed(stub: Path) -> None:
    script(stub / "edge-fer", BOARD)
    out, key = stub.parent / "out", stub.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    more = ("--key", str(key), "--models", str(stub), "--soak-minutes", "7")
    done = run(stub, VERIFY, "--out", str(out), *more)
    assert done.returncode == 0, done.stderr
    assert "ended with 2" in done.stdout
    assert "not done: there is no" in done.stdout  # the compiler's log
    assert "a reference: copy Pi-4-4-cores.csv" in done.stdout
    assert (out / "Pi-4-4-cores.csv").read_text().splitlines() == [
        "board,source,figure,unit,value",
        '"Pi 4, 4 cores",verify,golden faces,1,64.0',
        '"Pi 4, 4 cores",sample,live rate,1/s,30.0',
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "Pi-4-4-cores.sha256"], cwd=out, check=True)
    allowed = stub.parent / "allowed"
    allowed.write_text(f"me {key.with_suffix('.pub').read_text()}")
    signature = ["-f", str(allowed), "-I", "me", "-n", "edge-fer-board", "-s", str(out / "Pi-4-4-cores.sig")]
    with (out / "Pi-4-4-cores.sha256").open() as signed:
        subprocess.run(["ssh-keygen", "-Y", "verify", *signature], stdin=signed, check=True, capture_output=True)
    assert "--soak-minutes 7" in (stub / "edge-fer.log").read_text()


def test_the_compilers_log_is_kept_with_the_figures(stub: Path) -> None:
    script(stub / "edge-fer", BOARD)
    (stub / "lite_edgetpu.log").write_text(SUCCESS)
    done = run(stub, VERIFY, "--out", str(stub.parent / "out"), "--models", str(stub))
    assert done.returncode == 0, done.stderr
    assert "On-chip memory used for caching model parameters: 6.89MiB" in done.stdout
    assert (stub.parent / "out" / "compiler.log").read_text() == SUCCESS


def test_a_board_that_is_not_as_it_should_be_gets_no_reference(stub: Path) -> None:
    script(stub / "edge-fer", BOARD)
    (stub / "status").write_text("1")
    done = run(stub, VERIFY, "--out", str(stub.parent / "out"))
    assert done.returncode == 1
    assert "no reference is made of it" in done.stderr
    assert {path.name for path in (stub.parent / "out").iterdir()} == {"doctor.json", "verify.csv", "verify.json"}


def test_a_folder_with_files_in_it_is_left_alone(stub: Path) -> None:
    assert run(stub, VERIFY, "--out", str(stub)).returncode == 2
    assert run(stub, VERIFY, "--key", str(stub / "none")).returncode == 2
    assert run(stub, VERIFY, "--wrong").returncode == 2


@pytest.mark.slow
def test_all_of_it_runs_on_a_box_without_an_edge_tpu_and_says_so(stub: Path) -> None:
    out = stub.parent / "out"
    done = run(stub, VERIFY, "--backend", "cpu", "--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "not done: no Edge TPU was used: cpu was compared with cpu" in done.stdout
    assert "not done: signed with no key" in done.stdout
    assert "no reference: this was a quick run on cpu" in done.stdout
    (facts,) = (path for path in out.glob("*.json") if path.name != "doctor.json")
    assert json.loads(facts.read_text())["failed"] == []
    figures = facts.with_suffix(".csv").read_text()
    assert "verify,golden same label,1,1.0" in figures
    assert "sample,live rate" in figures

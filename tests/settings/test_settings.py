from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.common.files import read_at_most
from edge_fer.errors import ConfigError
from edge_fer.settings import Settings, dump_settings, load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "edge-fer.yaml"
    path.write_text(text)
    return path


def test_defaults_need_no_file() -> None:
    assert load_settings(environment={}) == Settings()


def test_later_sources_win(tmp_path: Path) -> None:
    path = write(tmp_path, "detect: {min_face: 30, score: 0.8}\ncapture: {source: /dev/video2}\n")
    settings = load_settings(
        path, {"EDGE_FER_DETECT__MIN_FACE": "50", "EDGE_FER_CAPTURE__SOURCE": "1"}, {"detect.min_face": 60}
    )
    assert settings.detect.min_face == 60
    assert settings.capture.source == "1"
    assert settings.detect.score == 0.8


def test_a_flag_that_was_not_given_sets_nothing() -> None:
    assert load_settings(environment={}, flags={"detect.min_face": None}) == Settings()


def test_other_environment_variables_are_left_alone() -> None:
    assert load_settings(environment={"PATH": "/bin", "EDGE": "1"}) == Settings()


def test_shown_settings_can_be_loaded_again(tmp_path: Path) -> None:
    settings = load_settings(environment={}, flags={"capture.source": "sample", "detect.thresholds": [0.5, 0.6, 0.7]})
    assert load_settings(write(tmp_path, dump_settings(settings)), {}) == settings


def test_every_setting_is_explained() -> None:
    values = [line for line in dump_settings(Settings()).splitlines() if line and not line.endswith(":")]
    assert all(" # " in line and not line.endswith("# None") for line in values)


def test_schema_is_json() -> None:
    assert json.loads(json.dumps(Settings.model_json_schema()))["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("detect: {min_fase: 30}", "unknown setting `detect.min_fase`, did you mean `detect.min_face`?"),
        ("min_face: 30", "unknown setting `min_face`, did you mean `detect.min_face`?"),
        ("zzz: 1", "unknown setting `zzz`; see"),
        ("detect: {min_face: 3}", "`detect.min_face`: input should be greater than or equal to 12, not 3"),
        ("detect: {min_face: big}", "not 'big'"),
        ("detect: {thresholds: [.nan, 0.7, 0.8]}", "`detect.thresholds.0`"),
        ("detect: {thresholds: [0.6, 2, 0.8]}", "`detect.thresholds.1`"),
        ("detect: {min_face: 700}", "min_face 700 should be at most size 600"),
        ("capture: {source: ''}", "`capture.source`"),
        ("{capture: {source: a.mp4}, publish: {record: ./a.mp4}}", "publish.record a.mp4 is the source itself"),
        ("{capture: {source: 'file:///a%20b.mp4'}, publish: {record: /a b.mp4}}", "is the source itself"),
        ("{capture: {source: a.mp4}, publish: {file: {path: ./a.mp4}}}", "publish.file.path a.mp4 is the source"),
        ("detect: [1, 2]", "`detect`"),
        ("- 1\n- 2", "expected sections such as `capture:`"),
        ("detect: {min_face: 30", "line 1"),
        ("detect:\n  min_face: 30\n bad: 1", "line 3"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text), {})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_links_lead_to_the_source_or_nowhere(tmp_path: Path) -> None:
    film, hard, loop = (tmp_path / name for name in ("film.mp4", "hard.mp4", "loop.mp4"))
    film.touch()
    hard.hardlink_to(film)
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="is the source itself"):
        load_settings(None, {}, {"capture.source": str(film), "publish.file.path": str(hard)})
    assert load_settings(None, {}, {"capture.source": str(loop), "publish.record": str(film)})


def test_a_pipe_is_read_to_its_end_and_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_at_most, "__defaults__", (0.01,))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match=r"found: a pipe that nobody wrote to its end within 0\.01 s; name a file"):
        load_settings(pipe, {})
    reading, writing = os.pipe()
    os.write(writing, b"device: box")
    os.close(writing)
    assert load_settings(Path(f"/dev/fd/{reading}"), {}).device == "box"
    os.close(reading)


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    """As when the examples of two pages are pasted below each other."""
    path = tmp_path / "edge-fer.yaml"
    path.write_text("publish:\n  http: {enabled: true}\npublish:\n  mqtt: {host: broker}\n")
    with pytest.raises(ConfigError, match="line 3, found: `publish` for the second time; put both together"):
        load_settings(path, {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("detect: {min_face: !!int three}", "invalid literal for int"),
        ("detect: {min_face: !!int }", "string index out of range"),
        ("detect: {min_face: !!timestamp 2026-13-45}", "could not determine a constructor"),
        ("[a]: 1", "a name that is no plain word"),
        ("on: {source: sample}", "a name that is no plain word"),
        ("1:", "a name that is no plain word"),
        ("? {a: 1}\n: 2", "a name that is no plain word"),
    ],
)
def test_odd_yaml_is_an_error_like_any_other(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "edge-fer.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"expected YAML in .*found: {found}"):
        load_settings(path, {})


@pytest.mark.parametrize("word", ["2026-11-30", "12:30", "1:02:03"])
def test_a_date_and_a_time_are_words(tmp_path: Path, word: str) -> None:
    assert load_settings(write(tmp_path, f"device: {word}"), {}).device == word


def test_one_section_may_take_in_another(tmp_path: Path) -> None:
    path = tmp_path / "edge-fer.yaml"
    path.write_text("health: &often {every_ms: 900}\nkeyframe: {<<: *often}\n")
    settings = load_settings(path, {})
    assert (settings.health.every_ms, settings.keyframe.every_ms) == (900, 900)


def test_an_empty_file_means_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, ""), {}) == Settings()


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found: No such file"):
        load_settings(tmp_path / "none.yaml", {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no UTF-8"):
        load_settings(binary, {})


def test_a_file_of_settings_has_an_end() -> None:
    with pytest.raises(ConfigError, match="expected at most 131072 bytes in /dev/zero, found more"):
        load_settings(Path("/dev/zero"), {})


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "edge-fer.yaml"
    path.write_text("device: x\n", encoding="utf-8-sig")
    assert load_settings(path, {}).device == "x"


@pytest.mark.parametrize(
    "text", ["{", "2026-13-01", "[" * 500, "9" * 5000, "!!int", "!!binary =", "3", "big", "\udcfc"]
)
def test_bad_environment_names_the_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="EDGE_FER_DETECT__MIN_FACE") as caught:
        load_settings(environment={"EDGE_FER_DETECT__MIN_FACE": text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "/x", "{", "2026-13-01", "\udcfc"])
def test_a_variable_that_is_no_setting_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="EDGE_FER_HOME"):
        load_settings(environment={"EDGE_FER_HOME": text})


def test_a_wrong_value_is_told_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "detect: {min_face: 3, score: 2}")
    environment = {"EDGE_FER_DETECT__SCORE": "3", "EDGE_FER_DETECT__THRESHOLDS": "[1, 2, 3]"}

    def complaint(environment: dict[str, str], **flags: object) -> str:
        with pytest.raises(ConfigError) as caught:
            load_settings(path, environment, flags={f"detect.{name}": value for name, value in flags.items()})
        return str(caught.value)

    assert complaint({}).startswith(f"{path}: setting `detect.min_face`: input should be greater")
    assert complaint(environment, min_face=30).startswith("EDGE_FER_DETECT__SCORE: setting `detect.score`: ")
    listed = complaint(environment, min_face=30, score=0.5)
    assert listed.startswith("EDGE_FER_DETECT__THRESHOLDS: setting `detect.thresholds.0`: ")
    assert complaint({}, min_face=4).startswith("setting `detect.min_face`: ")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"backend": "edgetpu"},
            "expected backend auto or cpu, since a cascade over many sizes runs on no accelerator",
        ),
        ({"labels": "own"}, "expected labels: classifier, since mtcnn reads no faces, found own; choose kind yolo"),
        (
            {"kind": "yolo", "backend": "remote:a:1"},
            "expected auto, edgetpu, edgetpu:usb:0, edgetpu:pci:0, cpu or fake",
        ),
        ({"detector": "mtcnn"}, "detect.detector"),
    ],
)
def test_a_detector_that_cannot_is_refused(flags: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environment={}, flags={f"detect.{name}": value for name, value in flags.items()})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_no_utf8_is_refused_and_file_names_are_not(tmp_path: Path) -> None:
    wrong = os.fsdecode(b"T\xfcr")
    with pytest.raises(ConfigError, match="EDGE_FER_DEVICE: setting `device`: expected text in UTF-8"):
        load_settings(environment={"EDGE_FER_DEVICE": wrong})
    settings = load_settings(environment={"EDGE_FER_MODELS": wrong})
    assert os.fsencode(settings.models or "") == b"T\xfcr"
    assert load_settings(write(tmp_path, dump_settings(settings)), {}) == settings


@pytest.mark.parametrize("name", ["a: b", "#1", "2026-11-30", "[x]", "~", "T\N{LATIN SMALL LETTER U WITH DIAERESIS}r"])
def test_a_path_in_the_environment_is_taken_as_it_stands(name: str) -> None:
    assert load_settings(environment={"EDGE_FER_MODELS": name}).models == Path(name)


@pytest.mark.parametrize("text", ["", "null"])
def test_no_path_in_the_environment_means_the_default(text: str) -> None:
    assert load_settings(environment={"EDGE_FER_MODELS": text}).models is None


ANY_BYTES = st.one_of(
    st.binary(max_size=50), st.text(alphabet="detcmin_fa: -[]{},&*!<|'\"\n#%?019.e\x1b", max_size=50).map(str.encode)
)
SECTIONS = st.dictionaries(
    st.sampled_from([*Settings.model_fields, "x"]),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), st.lists, max_leaves=5),
    max_size=3,
)


@pytest.mark.parametrize("content", [ANY_BYTES, SECTIONS.map(lambda content: yaml.safe_dump(content).encode())])
def test_any_file_is_settings_or_one_line(content: st.SearchStrategy[bytes], tmp_path: Path) -> None:
    path = tmp_path / "edge-fer.yaml"

    @given(content)
    @examples(deadline=None, max_examples=40)
    def load(content: bytes) -> None:
        path.write_bytes(content)
        try:
            load_settings(path, {})
        except ConfigError as error:
            complaint = str(error)
            assert complaint.isprintable(), complaint

    load()


def test_a_flag_below_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a section"):
        load_settings(write(tmp_path, "detect: 3"), {}, {"detect.min_face": 30})


def test_the_dump_is_yaml() -> None:
    assert yaml.safe_load(dump_settings(Settings()))["detect"]["min_face"] == Settings().detect.min_face


def test_a_section_without_keys_means_its_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "detect:\n  # min_face: 30\n"), {}) == Settings()


@pytest.mark.parametrize("word", ["007", "1.10", "on", "12:30:00", "{"])
def test_words_in_the_environment_mean_themselves(word: str) -> None:
    assert load_settings(environment={"EDGE_FER_DEVICE": word}).device_name == word


def test_a_box_without_a_name_has_its_hosts() -> None:
    assert Settings().device_name == socket.gethostname()
    assert yaml.safe_load(dump_settings(Settings()))["device"] is None


@pytest.mark.parametrize("name", ["auto", "cpu", "fake", "edgetpu", "edgetpu:usb:0", "edgetpu:pci:12"])
def test_devices_have_names(name: str) -> None:
    assert load_settings(environment={}, flags={"classify.backend": name}).classify.backend == name


@pytest.mark.parametrize(
    "name", ["tpu", "edgetpu:", "edgetpu:usb", "edgetpu:0", "cpu:0", "EDGETPU", "edgetpu:usb:-1", ""]
)
def test_other_names_of_devices_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=f"expected auto, edgetpu, edgetpu:usb:0, .* or fake, found '{name}'"):
        load_settings(environment={}, flags={"classify.backend": name})


SECRET = "Sonne@Mond#7"
URL = f"rtsp://admin:{SECRET}@10.0.0.9:554/a"


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        (f"capture: '{URL}'", {}),
        (f"capture: {{source: sample, fps: '{URL}'}}", {}),
        (f"captur: {{source: '{URL}'}}\ncapture: {{fps: Mond}}", {}),
        (f"publish: {{mqtt: {{host: 'mqtt://admin:{SECRET}@broker'}}}}", {}),
        (f"publish: {{mqtt: {{credentials_file: {{user: admin, password: '{SECRET}'}}}}}}", {}),
        (f"publish: {{mavlink: {{url: '{URL}'}}}}", {}),
        (f"publish: {{http: {{hosts: '{URL}'}}}}", {}),
        ("", {"EDGE_FER_CAPTURE": URL}),
        ("", {"EDGE_FER_CAPTURE__FPS": f"[{URL}"}),
        (f"capture: '{URL}'", {"EDGE_FER_CAPTURE__FPS": "5"}),
    ],
)
def test_a_mistyped_setting_does_not_show_a_password(tmp_path: Path, text: str, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(write(tmp_path, text), environment)
    assert "Mond" not in str(refused.value)
    assert "Sonne" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(write(tmp_path, f"detect: {{min_face: {'x' * 5000}}}"), {})
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "source",
    [
        URL, "rtsp://admin:a/b@host/s", "rtsp://admin:a?b@host/s", "rtsp://admin:a#b@host/s", "rtsp://admin:a b@host/s",
        "http://admin:geheim", "rtsp://admin:a:b/c@host", "HTTP://u:p#@h/",
    ],
)  # fmt: skip
def test_a_password_that_ends_its_url_is_refused_with_advice(source: str) -> None:
    with pytest.raises(ConfigError, match="%40 for @, %23 for #, %2F for /") as refused:
        load_settings(environment={}, flags={"capture.source": source})
    assert "***" not in str(refused.value), "the advice itself is no secret"


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://u:p%40%23@host:554/a", "rtsp://u:p@q@host/a", "rtsp://host/a", "http://[fe80::1]:8080/@me/v.mjpg",
        "https://u:p@host/a?b=c#t=5", "rtsp://host:/a", "sample", "a#b@c.mp4", "file:///a b@c#d@e.mp4", "rtmp://host/a@b",
    ],
)  # fmt: skip
def test_other_sources_are_left_alone(source: str) -> None:
    assert load_settings(environment={}, flags={"capture.source": source}).capture.source == source

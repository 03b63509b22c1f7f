"""Every layout as its owners give it out, in miniature; and what is said when a file is not what it should be."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, SourceError
from edge_fer.expression import ExpressionModel
from edge_fer.lab.cli.app import app
from edge_fer.lab.cli.options import split_of
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import SPLITS, Dataset, Split, hard, name_of, with_splits
from edge_fer.lab.datasets.inspection import find_problems
from edge_fer.lab.datasets.label_filter import FilterRecord, filter_labels
from edge_fer.lab.datasets.labels import AFFECTNET, FER2013, FERPLUS, NOT_OURS, RAFDB, index_of
from edge_fer.lab.files import read_record
from edge_fer.types import LABELS, AlignedFace, Expression, Origin

pytestmark = pytest.mark.lab

FERPLUS_HEADER = ["Usage", "Image name", *FERPLUS[:-1], "NF"]
AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def picture(path: Path, value: int, shape: tuple[int, ...] = (40, 40)) -> None:
    """A picture whose pixels are around a value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(-5, 6, shape)
    cv2.imwrite(str(path), np.clip(value + noise, 0, 255).astype(np.uint8))


def write_csv(path: Path, rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def labels_of(dataset: Dataset, split: Split) -> list[str]:
    return [LABELS[label] for label in dataset.only(split).labels]


def fer2013_rows() -> list[list[object]]:
    usages = ["Training"] * 3 + ["PublicTest", "PrivateTest"]
    emotions = [0, 3, 6, 1, 5]
    rows = [[e, " ".join([str(10 * n)] * 2304), u] for n, (e, u) in enumerate(zip(emotions, usages, strict=True))]
    return [["emotion", "pixels", "Usage"], *rows]


def votes(**counts: int) -> list[int]:
    return [counts.get(name.replace("-", "_"), 0) for name in FERPLUS]


def ferplus_rows() -> list[list[object]]:
    rows = [
        votes(anger=7, neutral=2, fear=1),
        votes(contempt=6, sadness=4),
        votes(not_a_face=10),
        votes(disgust=6, anger=4),
        votes(fear=1, sadness=1, neutral=1, anger=1),
    ]
    usages = ["Training"] * 3 + ["PublicTest", "PrivateTest"]
    return [FERPLUS_HEADER, *([u, f"fer{n:07}.png", *row] for n, (u, row) in enumerate(zip(usages, rows, strict=True)))]


def test_fer2013_alone_has_its_own_labels(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv", fer2013_rows())
    dataset = open_dataset(tmp_path / "fer2013.csv")
    assert labels_of(dataset, Split.TRAINING) == ["anger", "happiness", "neutral"]
    assert labels_of(dataset, Split.VALIDATION) == ["disgust"]
    assert labels_of(dataset, Split.TEST) == ["surprise"]
    assert dataset.images[4].shape == (48, 48)
    assert dataset.images[4].max() == 40
    assert dataset.second.tolist() == [-1] * 5


def test_ferplus_beside_fer2013_leads_and_fer2013_is_second(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv", fer2013_rows())
    write_csv(tmp_path / "fer2013new.csv", ferplus_rows())
    dataset = open_dataset(tmp_path)
    assert labels_of(dataset, Split.TRAINING) == ["anger"]
    assert labels_of(dataset, Split.VALIDATION) == ["disgust"]
    assert len(dataset) == 2
    np.testing.assert_allclose(dataset.targets[0], [7 / 9, 0, 0, 0, 0, 0, 2 / 9], atol=1e-6)
    np.testing.assert_allclose(dataset.targets[1], [0.4, 0.6, 0, 0, 0, 0, 0], atol=1e-6)
    assert [LABELS[label] for label in dataset.second] == ["anger", "disgust"]
    assert dataset.left_out == {"contempt": 1, "not-a-face": 1, "no two votes agree": 1}


def test_the_shared_layout_keeps_unknown_second_labels_unknown(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    table = np.array([votes(anger=8, neutral=2), votes(happiness=9)], np.uint8)
    np.savez(path, x=np.zeros((2, 48, 48), np.uint8), votes=table, usage=[0, 1], fer2013=np.array([255, 3], np.uint8))
    dataset = open_dataset(path)
    assert dataset.second.tolist() == [-1, 3]
    assert labels_of(dataset, Split.VALIDATION) == ["happiness"]
    np.savez(path, x=np.zeros((2, 48, 48), np.uint8), votes=table[:1], usage=[0, 1])
    with pytest.raises(SourceError, match=r"expected x .* votes \(n, 10\) .*faces\.npz, found .*\(1, 10\)"):
        open_dataset(path)


def rafdb(folder: Path, kind: str) -> Path:
    names = [f"train_{n:05}.jpg {code}" for n, code in enumerate(range(1, 8), 1)] + ["test_0001.jpg 4"]
    (folder / "basic" / "EmoLabel").mkdir(parents=True)
    (folder / "basic" / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(names) + "\n")
    for number, line in enumerate(names):
        stem = line.split(".")[0]
        if kind == "aligned":
            picture(folder / "basic" / "Image" / "aligned" / f"{stem}_aligned.jpg", 10 * number, (100, 100, 3))
        else:
            picture(folder / "basic" / "Image" / "original" / f"{stem}.jpg", 10 * number, (120, 200, 3))
            boxes = folder / "basic" / "Annotation" / "boundingbox"
            boxes.mkdir(parents=True, exist_ok=True)
            (boxes / f"{stem}_boundingbox.txt").write_text("50.0 20.0 90.0 80.0 \n")
    return folder


@pytest.mark.parametrize(("kind", "shape"), [("aligned", (100, 100)), ("original", (90, 60))])
def test_rafdb(tmp_path: Path, kind: str, shape: tuple[int, int]) -> None:
    dataset = open_dataset(rafdb(tmp_path, kind))
    assert [LABELS[label] for label in dataset.labels] == [*RAFDB.values(), "happiness"]
    assert labels_of(dataset, Split.TEST) == ["happiness"]
    assert dataset.images[6].shape == shape
    assert dataset.images[6].mean() == pytest.approx(60, abs=2)


def test_rafdb_draws_its_validation_faces_from_the_training_ones(tmp_path: Path) -> None:
    rafdb(tmp_path, "aligned")
    listed = tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt"
    listed.write_text("".join(f"train_{n:05}.jpg {1 + n % 2}\n" for n in range(1, 41)))
    dataset = open_dataset(tmp_path / "basic")
    assert dataset.counts().sum(axis=1).tolist() == [36, 4, 0]
    assert dataset.counts()[Split.VALIDATION].tolist() == [0, 0, 2, 0, 0, 2, 0]
    np.testing.assert_array_equal(dataset.splits, open_dataset(tmp_path).splits)


@pytest.mark.parametrize("header", [True, False])
def test_affectnet_lists(tmp_path: Path, header: bool) -> None:
    lines = [f"1/{code}.jpg,1,1,20,20,1;2;3,{code},0.1,-0.2" for code in range(11)]
    for code in range(11):
        picture(tmp_path / "Manually_Annotated_Images" / "1" / f"{code}.jpg", 10 * code, (30, 30, 3))
    lists = tmp_path / "Manually_Annotated_file_lists"
    lists.mkdir()
    (lists / "training.csv").write_text("\n".join([AFFECTNET_HEADER] * header + lines) + "\n")
    (lists / "validation.csv").write_text("\n".join([AFFECTNET_HEADER] * header + lines[:2]) + "\n")
    dataset = open_dataset(tmp_path)
    ours = [AFFECTNET[code] for code in range(7)]
    assert labels_of(dataset, Split.TRAINING) == ours
    assert labels_of(dataset, Split.VALIDATION) == ours[:2]
    assert dataset.left_out == {"contempt": 1, "none": 1, "uncertain": 1, "not-a-face": 1}
    assert dataset.images[3].mean() == pytest.approx(30, abs=2)
    assert dataset.images[3].shape == (30, 30)


def automatic_affectnet(folder: Path, faces: int = 7) -> Path:
    """Faces that a network labelled, one in two as its own number says, and none of them by people."""
    lines = [f"1/{number}.jpg,1,1,20,20,1;2;3,{number % 8},-2,-2" for number in range(faces)]
    for number in range(faces):
        picture(folder / "Automatically_Annotated_Images" / "1" / f"{number}.jpg", 10 * number, (30, 30, 3))
    lists = folder / "Automatically_annotated_file_lists"
    lists.mkdir()
    (lists / "automatically_annotated.csv").write_text("\n".join([AFFECTNET_HEADER, *lines]) + "\n")
    return folder


def test_affectnets_automatic_labels_are_a_set_of_their_own(tmp_path: Path) -> None:
    automatic_affectnet(tmp_path, 8)
    dataset = open_dataset(tmp_path)
    assert dataset.name == "affectnet, labelled automatically"
    assert [LABELS[label] for label in dataset.labels] == [AFFECTNET[code] for code in range(7)]
    assert dataset.left_out == {"contempt": 1}
    lists = tmp_path / "Manually_Annotated_file_lists"
    lists.mkdir()
    (lists / "training.csv").write_text("1/1.jpg,1,1,20,20,1;2;3,1,0.1,-0.2\n")
    picture(tmp_path / "Manually_Annotated_Images" / "1" / "1.jpg", 50, (30, 30, 3))
    assert open_dataset(tmp_path).name == "affectnet", "labels of people come first"
    assert len(open_dataset(tmp_path, "affectnet-automatic")) == 7
    with pytest.raises(ConfigError, match="expected faces in files of their own"):
        filter_labels(open_dataset(tmp_path).take(np.arange(1)), Teacher(), 0.5, tmp_path, lambda done, total: None)
    with pytest.raises(SourceError, match=r"expected automatically_annotated\.csv in .*, found none"):
        open_dataset(lists, "affectnet-automatic")


def test_some_automatic_labels_are_validated_on_always_the_same(tmp_path: Path) -> None:
    dataset = open_dataset(automatic_affectnet(tmp_path, 400))
    assert dataset.counts().sum(axis=1).tolist() == [343, 7, 0]
    np.testing.assert_array_equal(dataset.splits, open_dataset(tmp_path).splits)


class Teacher(ExpressionModel):
    """Sure of happiness for bright pictures, and of neutral for dark ones."""

    size, origin = 24, Origin("teacher", "cpu")

    def classify(self, face: AlignedFace) -> Expression:
        assert face.image.shape == (24, 24)
        share = float(face.image.mean()) / 255
        row = dict.fromkeys(LABELS, 0.0) | {"happiness": share, "neutral": 1 - share}
        return Expression(tuple(row[label] for label in LABELS))

    def close(self) -> None:
        pass


def test_labels_that_a_teacher_finds_improbable_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = automatic_affectnet(tmp_path / "all", 24)  # grey 0, 10, ... 230; neutral, happiness, sadness, ...
    pictures = folder / "Automatically_Annotated_Images/1"
    (pictures / "16.jpg").write_bytes(b"no picture")
    out = tmp_path / "filtered"
    record = filter_labels(open_dataset(folder), Teacher(), 0.5, out, lambda done, total: None)
    assert {label: count for label, count in record.kept.items() if count} == {"happiness": 1, "neutral": 2}
    assert record.dropped == {"anger": 3, "disgust": 3, "fear": 3, "happiness": 2, "sadness": 3, "surprise": 3,
                              "neutral": 0}  # fmt: skip
    assert (record.faces, record.unreadable, record.teacher) == (21, 1, "teacher")
    assert record.faces == sum(record.kept.values()) + sum(record.dropped.values()) + record.unreadable
    kept = open_dataset(out)
    assert [name_of(kept.images, index) for index in range(len(kept))] == [
        str(pictures / f"{number}.jpg") for number in (0, 8, 17)
    ]
    assert [LABELS[label] for label in kept.labels] == ["neutral", "neutral", "happiness"]
    dropped = (out / "dropped.txt").read_text().splitlines()
    assert len(dropped) == 18
    assert any(line.startswith(f"{pictures / '1.jpg'}: happiness 0.0") for line in dropped)
    assert sum("16.jpg" in line and "no picture" not in line for line in dropped) == 1
    assert read_record(out / "filter.json", FilterRecord) == record
    with pytest.raises(SourceError, match=r"a probability above 0\.999, found none; lower --above"):
        filter_labels(open_dataset(folder), Teacher(), 0.999, out, lambda done, total: None)


def test_the_filter_from_the_command_line(tmp_path: Path) -> None:
    folder = automatic_affectnet(tmp_path / "all", 8)
    arguments = ["filter", str(folder), "--out", str(tmp_path / "kept"), "--model", "lite", "--above", "0.001"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = read_record(tmp_path / "kept/filter.json", FilterRecord)
    assert (record.teacher, record.faces, record.above) == ("lite", 7, 0.001)
    assert f"{sum(record.kept.values())} of 7 faces are listed in {tmp_path / 'kept'}" in result.output
    assert f"{'neutral':12}{record.kept['neutral']:>10} kept" in result.output


def test_an_annotation_that_is_an_archive_is_refused_in_a_line(tmp_path: Path) -> None:
    for name in ("images", "annotations"):
        (tmp_path / "train_set" / name).mkdir(parents=True)
    picture(tmp_path / "train_set" / "images" / "0.jpg", 50)
    with (tmp_path / "train_set" / "annotations" / "0_exp.npy").open("wb") as file:
        np.savez(file, code=np.array("1"))
    with pytest.raises(SourceError, match=r"expected one number from 0 to 10 in .*0_exp\.npy, found: the magic"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("folders", [True, False])
def test_affectnet_annotation_files(tmp_path: Path, folders: bool) -> None:
    for name, codes in {"train_set": [0, 1, 6, 7], "val_set": [5]}.items():
        (tmp_path / name / "annotations").mkdir(parents=True)
        for number, code in enumerate(codes):
            inner = f"{code}/{number}.jpg" if folders else f"{number}.jpg"
            picture(tmp_path / name / "images" / inner, 20 * code, (30, 30, 3))
            np.save(tmp_path / name / "annotations" / f"{number}_exp.npy", np.array(str(code)))
            np.save(tmp_path / name / "annotations" / f"{number}_val.npy", np.array("-0.5"))
    dataset = open_dataset(tmp_path)
    assert labels_of(dataset, Split.TRAINING) == ["neutral", "happiness", "anger"]
    assert labels_of(dataset, Split.VALIDATION) == ["disgust"]
    assert dataset.images[1].mean() == pytest.approx(20, abs=2)
    (tmp_path / "val_set" / "images" / ("5/0.jpg" if folders else "0.jpg")).unlink()
    with pytest.raises(SourceError, match=r"expected the picture 0 of .*0_exp\.npy below .*images, found none"):
        open_dataset(tmp_path)


def test_class_folders_with_splits(tmp_path: Path) -> None:
    """FER2013's second layout: training and test faces in folders by name."""
    for split, count in {"train": 10, "test": 2}.items():
        for name in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt"):
            for number in range(count):
                picture(tmp_path / split / name / f"{number}.png", 50 + number)
    dataset = open_dataset(tmp_path)
    assert dataset.counts().tolist() == [[9] * 7, [1] * 7, [2] * 7]
    assert dataset.left_out == {"contempt": 12}


def test_class_folders_beside_splits_are_named(tmp_path: Path) -> None:
    for name in ("train/happy", "train/sad", "test/happy", "angry", "fear"):
        picture(tmp_path / name / "1.png", 50)
    (tmp_path / "notes").mkdir()
    with pytest.raises(SourceError, match=r"inside test, train, found angry, fear beside; move them into a split"):
        open_dataset(tmp_path)
    for name in ("angry", "fear"):
        (tmp_path / name / "1.png").unlink()
    assert len(open_dataset(tmp_path)) == 3


@pytest.mark.parametrize("name", ["train", "Training", "val", "validation", "valid", "test"])
def test_a_split_has_more_than_one_name(name: str) -> None:
    assert SPLITS[split_of(name)] in ("train", "valid", "test")
    assert SPLITS[split_of(name)][:2] == name[:2].lower()


def test_class_folders_without_splits_are_split_by_seed(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / "Happiness" / f"{number}.JPG", 50)
        picture(tmp_path / "Sad" / f"{number}.png", 50)
    assert open_dataset(tmp_path).counts().sum(axis=1).tolist() == [32, 4, 4]


def test_numbered_class_folders_need_a_layout(tmp_path: Path) -> None:
    for code in range(1, 8):
        picture(tmp_path / "train" / str(code) / "a.jpg", 10 * code)
    with pytest.raises(SourceError, match=r"found the number .*train/1; state whose numbers .* --layout affectnet"):
        open_dataset(tmp_path)
    assert labels_of(open_dataset(tmp_path, "rafdb"), Split.TRAINING) == list(RAFDB.values())
    affectnet = open_dataset(tmp_path, "affectnet")
    assert labels_of(affectnet, Split.TRAINING) == [AFFECTNET[code] for code in range(1, 7)]
    with pytest.raises(SourceError, match=r"expected fer2013's numbers 0-6, found .*train/7"):
        open_dataset(tmp_path, "fer2013")


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        (
            "fer2013.csv",
            0,
            "a,b,c",
            r"expected the columns emotion, pixels, Usage in .*fer2013\.csv, line 1, found \['a'",
        ),
        ("fer2013.csv", 2, "7,1 2,Training", r"expected an emotion from 0 to 6 in .*fer2013\.csv, line 3, found '7'"),
        (
            "fer2013.csv",
            2,
            "3,1 2 x 4,Training",
            r"expected 2304 numbers .*fer2013\.csv, line 3, found: invalid literal .* 'x'",
        ),
        ("fer2013.csv", 2, "3,1 2 256,Training", r"expected 2304 numbers .*fer2013\.csv, line 3, found: bytes must"),
        ("fer2013.csv", 2, "3,1 2,Training", r"expected 2304 numbers .*fer2013\.csv, line 3, found 2 of them"),
        ("fer2013.csv", 4, "3,1 2", r"expected 3 columns in .*fer2013\.csv, line 5, found 2"),
        ("fer2013.csv", 1, "3,1,Practice", r"expected Usage to be Training, .* line 2, found 'Practice'"),
        ("fer2013new.csv", 0, "Split,neutral", r"expected the columns .* in .*fer2013new\.csv, line 1, found"),
        ("fer2013new.csv", 3, "Training,x,1,2", r"expected 10 numbers of votes in .*fer2013new\.csv, line 4, found"),
        ("fer2013new.csv", 5, None, r"expected 5 rows of votes in .*fer2013new\.csv, as in fer2013\.csv, found 4"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(
    tmp_path: Path, file: str, line: int, text: str | None, message: str
) -> None:
    write_csv(tmp_path / "fer2013.csv", fer2013_rows())
    write_csv(tmp_path / "fer2013new.csv", ferplus_rows())
    lines = (tmp_path / file).read_text().splitlines()
    lines[line : line + 1] = [] if text is None else [text]
    (tmp_path / file).write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceError, match=message) as caught:
        open_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_malformed_list_is_named_with_its_line(tmp_path: Path) -> None:
    rafdb(tmp_path / "raf", "aligned")
    listed = tmp_path / "raf" / "basic" / "EmoLabel" / "list_patition_label.txt"
    listed.write_text("train_00001.jpg 5\ntrain_00002.jpg 8\n")
    with pytest.raises(SourceError, match=r"a number from 1 to 7 in .*label\.txt, line 2, found 'train_00002\.jpg 8'"):
        open_dataset(tmp_path / "raf")
    (tmp_path / "affect").mkdir()
    (tmp_path / "affect" / "training.csv").write_text(f"{AFFECTNET_HEADER}\n1/a.jpg,1,1,20,20,,11,0,0\n")
    with pytest.raises(SourceError, match=r"expression from 0 to 10 in .*training\.csv, line 2, found '11'"):
        open_dataset(tmp_path / "affect")
    (tmp_path / "affect" / "training.csv").write_text("a,b\n")
    with pytest.raises(SourceError, match=r"expected the columns subDirectory_filePath, .* line 1, found \['a', 'b'\]"):
        open_dataset(tmp_path / "affect")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected faces at .*nowhere, found nothing"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "faces.txt").touch()
    with pytest.raises(SourceError, match=r"expected an \.npz file, .* found .*faces\.txt"):
        open_dataset(tmp_path / "faces.txt")
    picture(tmp_path / "pictures" / "grinning" / "a.png", 9)
    with pytest.raises(SourceError, match=r"named by an expression .* found .*grinning"):
        open_dataset(tmp_path / "pictures")
    rafdb(tmp_path / "raf", "original")
    (tmp_path / "raf" / "basic" / "Annotation" / "boundingbox" / "test_0001_boundingbox.txt").unlink()
    with pytest.raises(SourceError, match=r"expected test_0001_boundingbox\.txt in .* found none"):
        open_dataset(tmp_path / "raf")
    (tmp_path / "affect").mkdir()
    (tmp_path / "affect" / "training.csv").write_text("1/a.jpg,1,1,20,20,,3,0,0\n")
    with pytest.raises(SourceError, match=r"expected AffectNet's pictures below .* found no .*1/a\.jpg"):
        open_dataset(tmp_path / "affect")


def test_a_picture_that_is_none_is_named_when_it_is_read(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "happy" / f"{number}.png", 80)
    dataset = open_dataset(tmp_path)
    (tmp_path / "happy" / "1.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"expected a picture in .*happy/1\.png, found 10 bytes"):
        dataset.images[1]
    (tmp_path / "happy" / "2.png").unlink()
    with pytest.raises(SourceError, match=r"expected a picture or a video at .*happy/2\.png, found: No such file"):
        dataset.images[2]


def test_inspection_names_problems(tmp_path: Path) -> None:
    for number in range(30):
        picture(tmp_path / "train" / "happy" / f"{number}.png", 60 + number)
    picture(tmp_path / "test" / "happy" / "twin.png", 61)
    cv2.imwrite(str(tmp_path / "train" / "happy" / "flat.png"), np.full((40, 40), 9, np.uint8))
    picture(tmp_path / "train" / "happy" / "small.png", 100, (20, 20))
    (tmp_path / "train" / "happy" / "broken.png").write_bytes(b"x")
    dataset = open_dataset(tmp_path)
    problems = "\n".join(find_problems(dataset, 1000, lambda done, total: None))
    assert "few faces in train: anger 0, disgust 0, fear 0, sadness 0, surprise 0, neutral 0" in problems
    happy = tmp_path / "train" / "happy"
    assert f"{happy / 'flat.png'} is one grey surface" in problems
    assert f"{happy / 'small.png'} is 20x20 pixels" in problems
    assert "broken.png" in problems
    twins = f"{happy / '1.png'} in {{}} is the same picture as {tmp_path / 'test' / 'happy' / 'twin.png'} in test"
    assert any(twins.format(split) in problems for split in ("train", "valid"))


def test_the_command_shows_counts_and_problems(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv", fer2013_rows())
    write_csv(tmp_path / "fer2013new.csv", ferplus_rows())
    result = CliRunner().invoke(app, ["data", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "ferplus: 2 faces, 2 with a second label" in result.output
    assert "left out: 1 (contempt)" in result.output
    assert "is one grey surface" in result.output
    wrong = CliRunner().invoke(app, ["data", str(tmp_path), "--layout", "nonsense"])
    assert isinstance(wrong.exception, ConfigError)


def test_every_numbering_holds_every_label_once() -> None:
    for names in (FERPLUS, *(tuple(codes.values()) for codes in (AFFECTNET, FER2013, RAFDB))):
        found = [index_of(name) for name in names]
        assert sorted(label for label in found if label != NOT_OURS) == list(range(len(LABELS)))
    assert [index_of(FER2013[code]) for code in range(7)] == list(range(7))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(0, 3))
def test_drawn_splits_take_their_share_of_each_label_and_lose_no_face(labels: list[int], seed: int) -> None:
    count = len(labels)
    dataset = hard("x", np.zeros((count, 2, 2), np.uint8), np.array(labels), np.zeros(count, np.uint8), {})
    counts = with_splits(dataset, (Split.VALIDATION, Split.TEST), 0.2, seed).counts()
    assert counts.sum(axis=0).tolist() == np.bincount(labels, minlength=7).tolist()
    np.testing.assert_array_equal(counts[Split.VALIDATION], counts[Split.TEST])
    assert (counts[Split.TRAINING] >= counts[Split.VALIDATION]).all()

"""Grad-CAM is what the paper says, lies over the face where the network looked, and ends up on pages that hold."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, EdgeFerError, SourceError
from edge_fer.lab.cli.app import app
from edge_fer.lab.explain.explanations import Explanation, Subject, subjects_of_crops, subjects_of_dataset
from edge_fer.lab.explain.gradcam import choose_layer, grad_cam, map_sides, over_face
from edge_fer.lab.explain.pages import INDEX, draw, sections, write_pages
from edge_fer.lab.networks import open_network
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.weights.npz import Weights, save_weights
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import LABELS, Expression, Label
from tests.lab.datasets.test_datasets import picture
from tests.lab.support.portraits import portrait_crop
from tests.lab.training.test_loop import faces as bars

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def _threads_as_before() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Tiny(nn.Module):
    """Two convolutions and a top that is not linear, in double precision for finite differences."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.maps = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Tanh())
        self.top = nn.Sequential(nn.Conv2d(4, 5, 2), nn.Tanh(), nn.Flatten(), nn.Linear(45, 7))
        self.double().eval()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.top(self.maps(image))


def by_finite_differences(net: Tiny, image: torch.Tensor, label: int) -> np.ndarray:
    """Grad-CAM of one image without any gradient of torch's: each feature is moved a little, up and down."""
    step = 1e-5
    with torch.no_grad():
        features = net.maps(image[None])[0]
        slopes = np.empty(features.shape)
        for place in np.ndindex(*features.shape):
            sides = []
            for sign in (1, -1):
                moved = features.clone()
                moved[place] += sign * step
                sides.append(net.top(moved[None])[0, label].item())
            slopes[place] = (sides[0] - sides[1]) / (2 * step)
    weighted = sum(slope.mean() * channel for slope, channel in zip(slopes, features.numpy(), strict=True))
    return np.maximum(weighted, 0)


def test_it_is_what_finite_differences_give() -> None:
    net = Tiny(0)
    images = torch.randn(3, 3, 10, 10, dtype=torch.float64)
    labels = np.array([2, 5, 2])
    cams = grad_cam(net, net.maps, images, labels)
    assert cams.maps.shape == (3, 4, 4)
    assert cams.maps.max() > 0
    for image, label, found in zip(images, labels, cams.maps, strict=True):
        np.testing.assert_allclose(found, by_finite_differences(net, image, label), atol=1e-9)
    np.testing.assert_allclose(cams.logits, net(images).detach().numpy())


class Known(nn.Module):
    """The first logit is the mean of the picture's first channel less that of its second: the map is plain."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        means = self.maps(image).mean(dim=(2, 3))
        return torch.stack([means[:, 0] - means[:, 1], torch.zeros(len(image))], dim=1)


def test_a_network_whose_map_is_known() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 1, 2], image[0, 1, 3, 3] = 8.0, 8.0
    net = Known()
    expected = np.zeros((4, 4))
    expected[1, 2] = 8 / 16  # what speaks against the label is left out
    np.testing.assert_allclose(grad_cam(net, net.maps, image, np.array([0])).maps[0], expected)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), label=st.integers(0, 6), side=st.integers(9, 10))
def test_maps_are_never_negative_and_images_do_not_touch_each_other(seed: int, label: int, side: int) -> None:
    net = Tiny(seed)
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    cams = grad_cam(net, net.maps, images, np.array([label, (label + 1) % 7]))
    assert cams.maps.shape == (2, 4, 4)
    assert (cams.maps >= 0).all()
    alone = grad_cam(net, net.maps, images[:1], np.array([label]))
    np.testing.assert_allclose(cams.maps[:1], alone.maps, atol=1e-12)


def test_a_logit_that_depends_on_nothing_has_an_empty_map() -> None:
    net = Tiny(0)
    nn.init.zeros_(net.top[-1].weight)
    cams = grad_cam(net, net.maps, torch.randn(1, 3, 10, 10, dtype=torch.float64), np.array([3]))
    np.testing.assert_array_equal(cams.maps, 0)
    np.testing.assert_array_equal(over_face(cams.maps[0].astype(np.float32), 20, 20, stride=2), 0)


def test_the_weights_need_not_learn_and_keep_no_gradient() -> None:
    net = Tiny(0).requires_grad_(False)
    assert grad_cam(net, net.maps, torch.randn(1, 3, 10, 10, dtype=torch.float64), np.array([2])).maps.shape[0] == 1
    learning = Tiny(0)
    grad_cam(learning, learning.maps, torch.randn(1, 3, 10, 10, dtype=torch.float64), np.array([2]))
    assert all(parameter.grad is None for parameter in learning.parameters())


@pytest.mark.parametrize(
    ("resolution", "sides", "chosen"),
    [(224, (56, 28, 14, 7), "stage5"), (112, (28, 14, 7, 4), "stage4"), (56, (14, 7, 4, 2), "stage3")],
)
def test_the_stage_follows_from_the_resolution(resolution: int, sides: tuple[int, ...], chosen: str) -> None:
    net = SEResNet50(resolution=resolution).eval()
    assert tuple(map_sides(net).values()) == sides
    assert choose_layer(net, "auto")[0] == chosen
    assert choose_layer(net, "stage2") == ("stage2", sides[0])


def test_a_stage_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"expected --layer auto, stage2, .* for se_resnet50, found `stage9`"):
        choose_layer(SEResNet50(0.125), "stage9")


@pytest.mark.parametrize(
    ("name", "resolution", "layer", "variant"),
    [
        ("se_resnet50", 192, "stage3", {}),
        ("se_resnet50", 96, "stage2", {}),
        ("se_resnet50", 192, "stage3", {"variant": "vggface2"}),
        ("mobilenet_v1", 192, "block5", {}),
        ("mobilenet_v1", 150, "block5", {}),
        ("resnet50", 197, "stage3", {}),
        ("resnet50", 198, "stage2", {}),
        ("vgg_face", 192, "block3", {}),
        pytest.param("inception_resnet_v2", 459, "block35", {}, marks=pytest.mark.slow),
    ],
)
def test_a_map_lies_over_what_its_cells_see(name: str, resolution: int, layer: str, variant: dict[str, str]) -> None:
    """Every weight is the same, so that what a cell sees is symmetric about the middle of it."""
    size, count = max(resolution, 192) if name == "se_resnet50" else resolution, 24
    torch.manual_seed(0)
    net = open_network(name)(0.125, resolution, **variant).eval()
    with torch.no_grad():
        for parameter_name, parameter in net.named_parameters():
            if parameter.ndim == 4:
                parameter.fill_(0 if "se_" in parameter_name else 1 / parameter[0].numel())
    maps: list[torch.Tensor] = []
    net.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    images = torch.rand(count, 3, size, size, requires_grad=True)
    net(images)
    cell = maps[0].shape[-1] // 2
    (field,) = torch.autograd.grad(maps[0][:, :, cell, cell].sum(), images)
    weight = field.abs().sum(dim=(0, 1, 2)).numpy()
    assert weight[[0, -1]].max() == 0, "all that the cell sees is inside the picture"
    middle = (weight * np.arange(size)).sum() / weight.sum()
    cam = np.zeros(maps[0].shape[2:], np.float32)
    cam[cell, cell] = 1
    row = over_face(cam, size, resolution, net.cell_stride(layer, cam.shape[0]), net.first_cell(layer)).sum(axis=0)
    assert (row * np.arange(size)).sum() / row.sum() == pytest.approx(middle, abs=0.7)


@given(seed=st.integers(0, 1000), side=st.integers(1, 14), shrink=st.sampled_from([1, 2, 4]))
def test_over_the_face_the_greatest_value_is_one(seed: int, side: int, shrink: int) -> None:
    cam = np.random.default_rng(seed).uniform(0, 5, (side, side)).astype(np.float32)
    spread = over_face(cam, 112, 112 // shrink, stride=8)
    assert spread.shape == (112, 112)
    assert spread.min() >= 0
    assert spread.max() == pytest.approx(1)


def explanation(
    truth: Label | None, named: Label, *, float_label: Label | None = None, explained: Label | None = None
) -> Explanation:
    chances = tuple(0.88 if label == named else 0.02 for label in LABELS)
    heat = np.zeros((56, 56), np.float32)
    heat[20:30, 20:30] = 1
    subject = Subject(np.full((56, 56), 120, np.uint8), "<b> & co", truth)
    return Explanation(subject, Expression(chances), float_label or named, explained or named, heat)


class Page(HTMLParser):
    """Notes what a page refers to, and that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Page:
    page = Page(path.read_text())
    assert page.open == []
    return page


def test_the_pages_hold_together(tmp_path: Path) -> None:
    all_of_them = [
        explanation("anger", "anger"),
        explanation("anger", "fear", float_label="anger"),
        explanation(None, "fear", explained="sadness"),
    ]
    write_pages(tmp_path, all_of_them, {"faces": "three <of> them"})
    assert {path.name for path in tmp_path.glob("*.html")} == {INDEX, "anger.html", "fear.html"}
    assert len(list((tmp_path / "pictures").iterdir())) == 3
    for path in tmp_path.glob("*.html"):
        page = read(path)
        assert all((tmp_path / str(link)).is_file() for link in page.links), "nothing from outside"
        assert all(image["alt"] for image in page.images)
        assert "width=device-width" in path.read_text()
    index, anger, fear = (read(tmp_path / f"{name}.html") for name in ("index", "anger", "fear"))
    assert "three <of> them" in index.text
    assert "2 of 3 faces" in index.text
    for heading in ("Hits (1)", "Misses: named otherwise (1)", "float32 names anger", "<b> & co"):
        assert heading in anger.text
    for heading in ("Others that are named fear (1)", "Named fear; no label is known (1)", "heat is for sadness"):
        assert heading in fear.text


def test_a_picture_shows_the_face_as_it_is_beside_the_heat() -> None:
    image = draw(explanation("anger", "fear", float_label="anger"))
    assert image.shape[1] == 112
    assert (image[:56, :56] == 120).all()
    heated = image[:56, 56:]
    assert (heated[:20] == 120).all(), "where nothing raises it the face stays as it is"
    assert (heated[20:30, 20:30] != 120).any(axis=2).all()
    assert (image[56:] < 200).any(), "and below stands what was said"


@given(st.lists(st.tuples(st.sampled_from([None, *LABELS]), st.sampled_from(LABELS)), max_size=12))
def test_every_face_is_on_a_page_and_on_each_page_once(pairs: list[tuple[Label | None, Label]]) -> None:
    from edge_fer.lab.explain.pages import Shown

    shown = [Shown(explanation(truth, named), str(number), (1, 1)) for number, (truth, named) in enumerate(pairs)]
    found: list[str] = []
    for label in LABELS:
        here = [each.picture for part in sections(label, shown).values() for each in part]
        assert len(set(here)) == len(here)
        found += here
    assert set(found) == {each.picture for each in shown}


def taking(size: int, *, colour: bool = False) -> Any:
    """A classifier as far as subjects depend on it."""
    return SimpleNamespace(size=size, colour=colour)


def test_so_many_faces_of_each_label_are_drawn() -> None:
    dataset, classifier = bars(70), taking(64)
    subjects = subjects_of_dataset(dataset, 3, classifier, seed=1)
    assert [subject.truth for subject in subjects] == [label for label in LABELS for _ in range(3)]
    assert {subject.face.shape for subject in subjects} == {(64, 64)}
    again = subjects_of_dataset(dataset, 3, classifier, seed=1)
    assert [each.title for each in again] == [each.title for each in subjects]
    others = subjects_of_dataset(dataset, 3, classifier, seed=2)
    assert [each.title for each in others] != [each.title for each in subjects]
    in_colour = subjects_of_dataset(dataset, 3, taking(64, colour=True), seed=1)
    assert {subject.face.shape for subject in in_colour} == {(64, 64, 3)}


def test_pictures_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(SourceError, match=r"expected a picture in .*x\.png, found 10 bytes that cannot be decoded"):
        subjects_of_crops([tmp_path / "x.png"], taking(64))
    (tmp_path / "x.png").unlink()
    with pytest.raises(SourceError, match=r"expected pictures in .*, found none"):
        subjects_of_crops([tmp_path], taking(64))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    save_weights(path, Weights(SEResNet50(resolution=112)))
    return path


def invoke(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, EdgeFerError):
        raise result.exception
    return result


def test_faces_of_a_data_set_from_the_command_line(tmp_path: Path, weights: Path) -> None:
    for label in LABELS[:2]:
        for split in ("train", "valid"):
            picture(tmp_path / "faces" / split / label / "0.png", 100)
    out = tmp_path / "pages"
    command = ("explain", "--weights", weights, "--data", tmp_path / "faces", "--out", out, "--label", "fear")
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert "stage4, 7x7, of a face of 112x112 pixels" in read(out / INDEX).text
    assert len(list((out / "pictures").iterdir())) == 2
    assert "labelled anger" in read(out / "anger.html").text
    with pytest.raises(ConfigError, match=r"expected a new or empty folder .* found .*pages; give another --out"):
        invoke(*command)


def test_faces_in_photos_and_crops_from_the_command_line(tmp_path: Path, weights: Path) -> None:
    photos, crops = tmp_path / "photos", tmp_path / "crops"
    photos.mkdir()
    crops.mkdir()
    cv2.imwrite(str(photos / "two.png"), crowd_scene(seed=1, faces=2, frames=3).render(0))
    cv2.imwrite(str(crops / "one.png"), portrait_crop())
    assert invoke("explain", "--weights", weights, "--images", photos, "--out", tmp_path / "a").exit_code == 0
    assert len(list((tmp_path / "a" / "pictures").iterdir())) == 2
    one = crops / "one.png"
    result = invoke("explain", "--weights", weights, "--images", one, "--crops", "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "b" / "pictures").iterdir())) == 1
    cv2.imwrite(str(photos / "two.png"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(SourceError, match=r"expected faces in .*photos, found none; give --crops"):
        invoke("explain", "--weights", weights, "--images", photos, "--out", tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"expected either --data or --images, found both or neither"),
        (["--data", "x", "--images", "y"], r"expected either --data or --images, found both or neither"),
        (["--data", "x", "--split", "test"], r"expected --split train or valid, found test.* --look-at-test"),
        (["--data", "x", "--split", "all"], r"expected a split \(train, valid, test\), found `all`"),
        (["--data", "x", "--label", "joy"], r"expected --label anger, .* found `joy`"),
        (["--data", "x"], r"expected faces at x, found nothing"),
    ],
)
def test_a_wrong_command_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgeFerError, match=message) as caught:
        invoke("explain", "--weights", weights, "--out", "pages", *arguments)
    assert "\n" not in str(caught.value)
    assert not Path("pages").exists()

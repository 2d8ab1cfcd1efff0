"""Players, matrices and galleries: small, whole, deterministic, usable without sight, sound or a network."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import soundfile
import torch
from PIL import Image

from avlib.figures import BUDGET, Element, gallery, matrix, player
from avlib.figures.encode import check_maps, name_of, scale_maps
from avlib.types import SAMPLE_RATE, Batch, Truth
from tests.figures.clips import CLASSES, clips

VOID = {"img", "br", "meta", "link", "input"}


class Page(HTMLParser):
    """Every tag closed in order, every attribute and data URI kept."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} repeats an attribute"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += data

    def find(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        return [a for t, a in self.tags if t == tag and (not kind or kind in a.get("class", "").split())]


def decoded(src: str) -> bytes:
    return base64.b64decode(src.split(",", 1)[1], validate=True)


def every_kind() -> dict[str, Element]:
    video = clips(8, frames=12, size=48)
    still = clips(8, size=48)
    heat = {"trumpet": torch.rand(12, 6, 6), "dog": torch.rand(6, 6)}
    return {
        "player": player(
            video, 1, heat=heat, sources={"one": video.truth.stem_BNS[1, 0]}, classes=CLASSES, caption="Two."
        ),
        "still": player(still, 0, heat=torch.rand(6, 6)),
        "matrix": matrix(torch.eye(8), still, classes=CLASSES, caption="Pairs."),
        "gallery": gallery(video, rows=[0, 3, 5], classes=CLASSES, caption="Three."),
    }


KINDS = ("player", "still", "matrix", "gallery")


@pytest.fixture(scope="module")
def elements() -> dict[str, Element]:
    torch.manual_seed(0)
    return every_kind()


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_whole_and_needs_nothing_from_elsewhere(elements, kind):
    page = Page(elements[kind].html)
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "poster", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
    rest = re.sub(r'"data:[^"]*"', '""', elements[kind].html)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", rest)
    assert not re.search(r"\sid=", rest)  # nothing to clash with on the page


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_and_sound_decodes(elements, kind):
    page = Page(elements[kind].html)
    assert page.find("img") and page.find("audio")
    for image in page.find("img"):
        with Image.open(io.BytesIO(decoded(image["src"]))) as picture:
            picture.load()
            assert picture.format in ("JPEG", "WEBP")
    for sound in page.find("audio"):
        wave, rate = soundfile.read(io.BytesIO(decoded(sound["src"])))
        assert rate == SAMPLE_RATE and abs(len(wave) - SAMPLE_RATE) <= SAMPLE_RATE // 10
        assert sound["aria-label"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_used_without_eyes_or_mouse(elements, kind):
    page = Page(elements[kind].html)
    (figure,) = page.find("figure")
    assert figure["aria-label"] == elements[kind].alt and elements[kind].alt
    assert all("alt" in image for image in page.find("img"))
    windows = [window for window in page.find("div", "av-screen") if window.get("role") == "img"]
    assert windows and all(window["aria-label"] for window in windows)
    assert page.find("button") and all(button["type"] == "button" for button in page.find("button"))
    assert "@media print" in elements[kind].html and "prefers-color-scheme:dark" in elements[kind].html


def test_same_input_gives_the_same_bytes_in_any_process_without_heavy_libraries(elements):
    torch.manual_seed(0)
    assert {k: e.html for k, e in every_kind().items()} == {k: e.html for k, e in elements.items()}
    code = (
        "from avlib.figures import player\nfrom avlib.figures.encode import name_of\n"
        "from clips import clips\nprint(name_of(player(clips(), 0).html))\n"
        "import sys\nprint([m for m in ('seaborn', 'pandas', 'sklearn', 'IPython') if m in sys.modules])"
    )
    here = Path(__file__).parent  # not as tests.figures.clips: an installed package calls itself "tests" too
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])},
        capture_output=True,
        text=True,
        check=True,
        cwd=here,
    )
    assert run.stdout.split("\n")[:2] == [name_of(player(clips(), 0).html), "[]"]


def test_other_content_has_another_name(elements):
    names = [Page(e.html).find("figure")[0]["data-av"] for e in elements.values()]
    assert len(set(names)) == len(names)
    batch = clips()
    assert Page(player(batch, 0).html).find("figure") != Page(player(batch, 1).html).find("figure")


def test_two_seconds_of_video_with_heat_and_sources_fit_the_budget():
    torch.manual_seed(1)
    batch = clips(2, frames=24, size=128, seconds=2.0)
    noisy = replace(
        batch,
        wave_BS=(batch.wave_BS + 0.2 * torch.randn(2, 2 * SAMPLE_RATE)).clamp(-1, 1),
        video_BTCHW=(batch.video_BTCHW + 0.1 * torch.randn(2, 24, 3, 128, 128)).clamp(0, 1),
    )
    heat = {name: torch.rand(24, 8, 8) ** 3 for name in CLASSES[:2]}
    sources = dict.fromkeys(CLASSES[:2], noisy.wave_BS[0])
    assert len(player(noisy, 0, heat=heat, sources=sources)) <= BUDGET
    assert len(player(batch, 0, heat=heat, sources=sources)) <= BUDGET


def test_a_matrix_of_eight_fits_the_budget_and_carries_each_strip_once():
    element = matrix(torch.randn(8, 8), clips(8, size=96))
    page = Page(element.html)
    assert len(element) <= BUDGET and len(page.find("img")) == 2
    assert len([b for b in page.find("button") if "background" in b.get("style", "")]) == 64


def test_script_is_small(elements):
    for element in elements.values():
        (script,) = re.findall(r"<script>(.*?)</script>", element.html, re.DOTALL)
        assert len(script.encode()) < 6000


def test_words_of_others_cannot_become_markup():
    bad = '"><script>alert(1)</script>'
    batch = clips()
    heat, sources = {bad: torch.rand(4, 4)}, {bad: batch.wave_BS[0]}
    for element in (
        player(batch, 0, heat=heat, sources=sources, caption=bad, alt=bad),
        gallery(batch, labels=[bad] * 4, caption=bad, alt=bad),
        matrix(torch.eye(4), batch, classes=[bad] * 4, caption=bad, alt=bad),
    ):
        page = Page(element.html)
        assert len(page.find("script")) == 1 and bad in page.text
        assert page.find("figure")[0]["aria-label"] == bad


def test_what_is_said_comes_from_the_truth_where_nobody_says_it():
    batch = clips()
    assert player(batch, 1, classes=CLASSES).alt == "Still picture with 1 s of sound: dog, bell (silent)."
    told = replace(batch, truth=replace(batch.truth, caption=("A.", "B.", "C.", "D.")))
    assert player(told, 2).alt == "C." and "<figcaption>C.</figcaption>" in player(told, 2).html
    bare = replace(batch, truth=Truth())
    assert player(bare, 0).alt == "Still picture with 1 s of sound."


def test_things_without_names_are_counted():
    batch = clips()
    assert gallery(batch).alt == "4 clips to play. Still picture with 1 s of sound: 2 things, 1 of them silent."
    assert player(batch, 1).alt == "Still picture with 1 s of sound: 2 things, 1 of them silent."
    assert "unnamed thing" in player(batch, 1, classes=CLASSES[:1]).alt
    assert not any("of class" in element.html for element in (gallery(batch), matrix(torch.eye(4), batch)))


def test_it_shows_itself_and_saves_a_page(tmp_path, elements):
    element = elements["player"]
    bundle = element._repr_mimebundle_()
    assert bundle["text/html"] == element.html == element._repr_html_() and element.alt in bundle["text/plain"]
    page = Page(re.sub(r"<!doctype html>", "", element.save(tmp_path / "clip.html").read_text(encoding="utf-8")))
    assert page.find("meta")[0] == {"charset": "utf-8"}


def test_a_negative_row_counts_from_the_end():
    batch = clips()
    assert player(batch, -1).html == player(batch, 3).html


def test_a_silent_clip_and_a_flat_map_are_shown_as_they_are():
    batch = clips()
    silent = replace(batch, wave_BS=torch.zeros_like(batch.wave_BS))
    assert player(silent, 0, heat=torch.full((4, 4), 7.0)).alt


def test_heat_maps_share_one_scale_and_probabilities_keep_theirs():
    kept = scale_maps(check_maps({"a": torch.full((2, 2), 0.2), "b": torch.full((2, 2), 0.3)}, 1))
    assert float(kept["a"].max()) == pytest.approx(0.2)
    moved = scale_maps(check_maps({"a": torch.tensor([[-1.0, 0.0]]), "b": torch.tensor([[1.0, 3.0]])}, 1))
    assert moved["a"].tolist() == [[[0.0, 0.25]]] and moved["b"].tolist() == [[[0.5, 1.0]]]


def without(batch: Batch, **fields: object) -> Batch:
    return replace(batch, **fields)  # type: ignore[arg-type]


def test_wrong_inputs_are_named():
    batch, video = clips(), clips(2, frames=6)
    empty = batch.select([])
    nan = torch.full((8, 8), float("nan"))
    for message, make in {
        "empty": lambda: player(empty, 0),
        "neither a picture": lambda: player(without(batch, image_BCHW=None), 0),
        "picture of clip 0 holds NaN": lambda: player(without(batch, image_BCHW=batch.image_BCHW * float("nan")), 0),
        "frames must be": lambda: player(without(batch, image_BCHW=batch.image_BCHW[:, :1]), 0),
        "clip's sound holds": lambda: player(without(batch, wave_BS=batch.wave_BS / 0), 0),
        "heat map 'heat' holds": lambda: player(batch, 0, heat=nan),
        "heat map 'dog' must be Y×X or 6×Y×X": lambda: player(video, 0, heat={"dog": torch.rand(5, 4, 4)}),
        "heat holds no maps": lambda: player(batch, 0, heat={}),
        "source 'dog' has 10 samples": lambda: player(batch, 0, sources={"dog": torch.zeros(10)}),
        "source 'dog' must be one row": lambda: player(batch, 0, sources={"dog": torch.zeros(2, SAMPLE_RATE)}),
        "must not be called 'mixture'": lambda: player(batch, 0, sources={"mixture": batch.wave_BS[0]}),
        "sim_NN must be 4×4": lambda: matrix(torch.eye(3), batch),
        "sim_NN must have 2": lambda: matrix(torch.ones(4), batch),
        "sim_NN holds": lambda: matrix(torch.full((4, 4), float("nan")), batch),
        "sim_NN is empty": lambda: matrix(torch.zeros(0, 0), empty),
        "cannot be read": lambda: matrix(torch.eye(17), clips(17, size=16)),
        "labels": lambda: gallery(batch, labels=["one"]),
        "at least one clip": lambda: gallery(batch, rows=[]),
        "batch is empty": lambda: gallery(empty),
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            make()
    for bad in (4, -5):
        with pytest.raises(IndexError, match="holds 4"):
            player(batch, bad)
    with pytest.raises(IndexError, match="no clip 9"):
        gallery(batch, rows=[0, 9])

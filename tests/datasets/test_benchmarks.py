"""The benchmarks' annotation files: every frame and box of the real ones, and broken ones named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from avlib.datasets import benchmarks
from avlib.datasets.benchmarks import Annotations, Frame
from avlib.evaluate import localize


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    """The real annotation files."""
    if not (real_data / "annotations").is_dir():
        pytest.skip(f"no annotations in {real_data}")
    return real_data / "annotations"


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def music_row(**change: Any) -> dict[str, Any]:
    box = {"box": [160, 90, 320, 180], "normbox": [0.25, 0.25, 0.5, 0.5], "category_id": 1}
    return {"bbox": [box], "wdith": 640, "height": 360} | change


def test_vggss(folder: Path) -> None:
    found = benchmarks.vggss(folder / "vggss.json")
    assert (len(found), len(found.annotated), found.box_count) == (5158, 5156, 5923)
    assert (len(found.classes), len(found.dropped), len(found.skipped)) == (221, 18, 0)
    assert {frame.key for frame in found.frames if not frame.boxes} == {"M1P1xla8rg0_000000", "MKC9LvRivTM_000030"}
    assert all(0 <= edge <= 1 for frame in found.frames for box in frame.boxes for edge in box)
    first = found.frames[0]
    assert first.key == "zpWuikVorYg_000032" and found.classes[first.categories[0]] == "elk bugling"
    assert first.boxes == ((0.403125, 0.253125, 0.6, 0.75),)


@pytest.mark.parametrize(
    ("file", "frames", "annotated", "boxes", "classes"),
    [("solotest.json", 13472, 12356, 12356, 7), ("duettest.json", 11512, 10284, 15035, 6)],
)
def test_music(folder: Path, file: str, frames: int, annotated: int, boxes: int, classes: int) -> None:
    found = benchmarks.music(folder / file)
    assert (len(found), len(found.annotated), found.box_count) == (frames, annotated, boxes)
    seen = {category for frame in found.frames for category in frame.categories}
    assert len(seen) == classes and seen <= set(found.classes)
    assert all(frame.size and min(frame.size) > 0 for frame in found.frames)


def test_music_boxes_in_pixels_and_fractions_agree(folder: Path) -> None:
    raw = json.loads((folder / "duettest.json").read_text())
    for frame in benchmarks.music(folder / "duettest.json").annotated[:500]:
        assert frame.size is not None
        height, width = frame.size
        for (x1, y1, x2, y2), row in zip(frame.boxes, raw[frame.key]["bbox"], strict=True):
            x, y, w, h = row["box"]
            assert (x1 * width, y1 * height, x2 * width, y2 * height) == pytest.approx((x, y, x + w, y + h), abs=1e-6)


@pytest.mark.parametrize("name", ["solo", "duet"])
def test_music_categories_are_the_instruments_of_the_video(folder: Path, name: str) -> None:
    played = {v.id: v.instruments for v in benchmarks.music_videos(folder / f"MUSIC_{name}_videos.json")}
    found = benchmarks.music(folder / f"{name}test.json")
    for frame in found.annotated:
        assert {found.classes[category] for category in frame.categories} <= set(played[frame.key[:11]])


def test_audioset(folder: Path) -> None:
    found = benchmarks.audioset(folder / "audioset_box.json")
    assert (len(found), len(found.annotated), found.box_count) == (4503, 4473, 7403)
    assert {category for frame in found.frames for category in frame.categories} == set(range(13))
    assert sum(len(set(frame.categories)) == 2 for frame in found.frames) == 194


@pytest.mark.parametrize("file", ["solotest.json", "duettest.json", "audioset_box.json"])
def test_every_box_of_the_mixtures_lies_in_its_frame_and_bare_frames_stay(folder: Path, file: str) -> None:
    found = (benchmarks.audioset if file.startswith("audioset") else benchmarks.music)(folder / file)
    corners = np.array([box for frame in found.frames for box in frame.boxes])
    assert (corners >= 0).all() and (corners <= 1).all() and (corners[:, 2:] > corners[:, :2]).all()
    bare = [frame for frame in found.frames if not frame.boxes]
    raw = json.loads((folder / file).read_text())
    assert bare and all(raw[frame.key]["bbox"] == [] for frame in bare)
    assert all(not frame.categories and not frame.union(16).any() for frame in bare)


@pytest.mark.parametrize(
    ("file", "videos", "groups", "players"),
    [
        ("MUSIC_solo_videos.json", 536, 11, 1),
        ("MUSIC_duet_videos.json", 149, 9, 2),
        ("MUSIC21_solo_videos.json", 1164, 21, 1),
    ],
)
def test_music_videos(folder: Path, file: str, videos: int, groups: int, players: int) -> None:
    found = benchmarks.music_videos(folder / file)
    assert len(found) == len({video.id for video in found}) == videos
    assert len({video.instruments for video in found}) == groups
    assert {len(video.instruments) for video in found} == {players}


def test_masks_are_cut_to_whole_pixels() -> None:
    frame = Frame("f", ((0.1, 0.2, 0.5, 0.6), (0.4, 0.5, 1.0, 1.0)), (3, 8))
    mask_NHW = frame.to_masks(16)
    assert mask_NHW.shape == (2, 16, 16) and mask_NHW.dtype is torch.bool
    assert mask_NHW[0].nonzero().min(0).values.tolist() == [3, 1] and mask_NHW[0].nonzero().max(0).values.tolist() == [
        8,
        7,
    ]
    assert mask_NHW[0].sum() == 6 * 7 and mask_NHW[1].sum() == 8 * 10
    assert torch.equal(frame.union(16), mask_NHW[0] | mask_NHW[1])
    assert torch.equal(frame.class_masks(16)[8], mask_NHW[1])
    assert Frame("none", (), ()).to_masks(16).shape == (0, 16, 16)
    assert not Frame("none", (), ()).union(16).any() and Frame("none", (), ()).class_masks(16) == {}


def test_consensus_is_two_votes() -> None:
    frame = Frame("f", ((0, 0, 0.5, 1), (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0, 0, 0.5, 1)), (-1,) * 4)
    weight_HW = frame.consensus(4)
    assert weight_HW[:, :2].eq(1).all() and weight_HW[:, 2:].eq(0.5).all()


def test_broken_vggss_boxes_are_clipped_or_dropped(tmp_path: Path) -> None:
    rows = [
        {"file": "a", "class": "dog", "bbox": [[-0.5, 0.1, 0.5, 1.5], [0.2, 0.2, -2.9e16, 0.5]]},
        {"file": "b", "class": "cat", "bbox": [[0.3, 1.0, 0.7, 1.0]]},
    ]
    found = benchmarks.vggss(write(tmp_path / "vggss.json", rows))
    assert [frame.boxes for frame in found.frames] == [((0.0, 0.1, 0.5, 1.0),), ()]
    assert found.classes == {0: "cat", 1: "dog"} and found.frames[0].categories == (1,)
    assert [line[0] for line in found.dropped] == ["a", "b"]
    assert "1 frames without a box, 2 boxes without area" in found.report()


def test_table_has_a_row_a_box(tmp_path: Path) -> None:
    found = benchmarks.music(write(tmp_path / "m.json", {"a": music_row(), "b": music_row(bbox=[])}))
    assert found.table().to_dict("records") == [
        {"frame": "a", "category": 1, "class": "cello", "x1": 0.25, "y1": 0.25, "x2": 0.75, "y2": 0.75}
    ]


def test_both_spellings_of_width(tmp_path: Path) -> None:
    right = music_row()
    right["width"] = right.pop("wdith")
    found = benchmarks.music(write(tmp_path / "m.json", {"a": music_row(), "b": right, "c": music_row(bbox=[])}))
    assert [frame.size for frame in found.frames] == [(360, 640)] * 3
    assert found.frames[0].boxes == ((0.25, 0.25, 0.75, 0.75),) and found.frames[2].boxes == ()


BAD = {
    "no key 'bbox'": {"wdith": 640, "height": 360},
    "no key 'wdith'": {"bbox": [], "height": 360},
    "no key 'category_id'": music_row(bbox=[{"normbox": [0, 0, 1, 1]}]),
    "is not four numbers": music_row(bbox=[{"normbox": [0, 0, 1], "category_id": 1}]),
    "is not finite": music_row(bbox=[{"normbox": [0, 0, 1, float("nan")], "category_id": 1}]),
    "'height' is '360', not int": music_row(height="360"),
    "no key 'bbox' ": None,
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_named_and_the_good_ones_are_kept(tmp_path: Path, reason: str) -> None:
    path = write(tmp_path / "solotest.json", {"good": music_row(), "bad/frame": BAD[reason], "last": music_row()})
    with pytest.raises(ValueError, match=rf"solotest\.json: 1 of 3 rows are unreadable: bad/frame: .*{reason.strip()}"):
        benchmarks.music(path)
    found = benchmarks.music(path, strict=False)
    assert [frame.key for frame in found.frames] == ["good", "last"]
    assert len(found.skipped) == 1 and "bad/frame" in found.skipped[0] and "1 unreadable" in found.report()


def test_no_reader_skips_a_bad_row_unasked(tmp_path: Path) -> None:
    for read, rows in ((benchmarks.vggss, ["row"]), (benchmarks.music, {"a": 1}), (benchmarks.audioset, {"a": 1})):
        path = write(tmp_path / "rows.json", rows)
        with pytest.raises(ValueError, match="1 of 1 rows are unreadable"):
            read(path)
        assert len(read(path, strict=False).skipped) == 1 and not read(path, strict=False).frames


@pytest.mark.parametrize("read", [benchmarks.vggss, benchmarks.music, benchmarks.audioset, benchmarks.music_videos])
def test_files_that_are_something_else(tmp_path: Path, read: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"cut\.json: not a JSON file"):
        read(write(tmp_path / "cut.json", '{"a": [1, 2'))
    with pytest.raises(ValueError, match=r"text\.json: holds str"):
        read(write(tmp_path / "text.json", '"boxes"'))


def test_a_key_given_twice_is_not_lost(tmp_path: Path) -> None:
    row = json.dumps(music_row())
    with pytest.raises(ValueError, match=r"m\.json: key 'a' stands there twice"):
        benchmarks.music(write(tmp_path / "m.json", f'{{"a": {row}, "a": {row}}}'))


def test_bad_video_lists(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"v\.json: no object under the key 'videos'"):
        benchmarks.music_videos(write(tmp_path / "v.json", {"video": {}}))
    with pytest.raises(ValueError, match=r"v\.json: 'flute' is not a list of video ids"):
        benchmarks.music_videos(write(tmp_path / "v.json", {"videos": {"flute": "abc"}}))


def flickr_xml(*boxes: tuple[int, int, int, int], named: bool = True) -> str:
    tags = ("xmin", "ymin", "xmax", "ymax") if named else ("a", "b", "c", "d")
    inner = "".join(
        "<bbox><id>1</id>" + "".join(f"<{t}>{v}</{t}>" for t, v in zip(tags, box, strict=True)) + "</bbox>"
        for box in boxes
    )
    return f"<annotation><annotations>{inner}</annotations></annotation>"


def test_flickr(tmp_path: Path) -> None:
    write(tmp_path / "1.xml", flickr_xml((0, 0, 128, 256), (64, 0, 128, 128)))
    write(tmp_path / "2.xml", flickr_xml((0, 0, 256, 64), named=False))
    found = benchmarks.flickr(tmp_path)
    assert [frame.key for frame in found.frames] == ["1", "2"]
    assert found.frames[0].boxes == ((0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.5, 0.5))
    assert found.frames[1].boxes == ((0.0, 0.0, 1.0, 0.25),) and found.frames[1].categories == (-1,)
    assert found.frames[0].consensus(8).sum() == 0.5 * 24 + 8


def test_bad_flickr_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.xml"):
        benchmarks.flickr(tmp_path)
    write(tmp_path / "1.xml", flickr_xml((0, 0, 128, 256)))
    write(tmp_path / "2.xml", "<annotation><bbox>")
    write(tmp_path / "3.xml", "<annotation><bbox><xmin>4</xmin></bbox></annotation>")
    with pytest.raises(ValueError, match=r"2 of 3 rows are unreadable: 2\.xml: .*; 3\.xml: "):
        benchmarks.flickr(tmp_path)
    found = benchmarks.flickr(tmp_path, strict=False)
    assert [frame.key for frame in found.frames] == ["1"] and len(found.skipped) == 2


# cIoU@0.5 and AUC (%) of blind masks on these files, measured once with other code;
# MUSIC on 1500 frames drawn at random.
BLIND = {
    ("vggss", "vggss.json", "union"): {
        "whole image": (22.0, 31.3),
        "centre disc, 50 %": (34.0, 37.4),
        "centre disc, 25 %": (14.8, 32.5),
    },
    ("music", "solotest.json", "union"): {
        "whole image": (16.9, 34.0),
        "centre disc, 50 %": (26.9, 39.7),
        "centre disc, 25 %": (15.1, 35.1),
    },
    ("music", "duettest.json", "class"): {
        "whole image": (1.8, 15.0),
        "centre disc, 50 %": (3.9, 21.6),
        "centre disc, 25 %": (3.1, 22.3),
    },
}


@pytest.mark.parametrize("case", BLIND, ids=lambda case: case[1])
def test_blind_masks_score_what_is_known(folder: Path, case: tuple[str, str, str]) -> None:
    loader, file, truth = case
    found = getattr(benchmarks, loader)(folder / file)
    # The files are in random order: their first frames are a fair draw.
    sample = replace(found, frames=found.annotated[:1500])
    rows = benchmarks.trivial(sample, truth).set_index("system")
    for name, (rate, auc) in BLIND[case].items():
        assert 100 * rows.loc[name, "cIoU@0.5"] == pytest.approx(rate, abs=1.5), name
        assert 100 * rows.loc[name, "AUC"] == pytest.approx(auc, abs=1.5), name


def mixed() -> Annotations:
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    frames = (
        Frame("both", (left, right), (3, 8)),
        Frame("one", (left,), (8,)),
        Frame("none", (), ()),
        Frame("unseen", (left,), (3,)),
    )
    return Annotations("mixed", frames)


def half(where: int, classes: int = 3) -> dict[str, torch.Tensor]:
    """Certain scores: category 3 left and 8 right (``where`` 0) or the other way round; the third class is silent."""
    both = torch.zeros(classes, 8, 8)
    both[where, :, :4] = both[1 - where, :, 4:] = 10.0
    one = torch.zeros(classes, 8, 8)
    one[1, :, :4] = one[2, :, 4:] = 10.0
    return {"both": both, "one": one}


def test_trivial_equals_the_protocol(tmp_path: Path) -> None:
    found = mixed()
    for truth in ("union", "class", "consensus"):
        rows = benchmarks.trivial(found, truth, side=16).set_index("system")
        pairs = [truth_YX for frame in found.annotated for truth_YX in benchmarks._truths(frame, truth, 16)]
        disc = np.broadcast_to(localize.centre_disc(16), (len(pairs), 16, 16))
        expected = localize.success(localize.ciou(disc, torch.stack(pairs)), (0.3, 0.5))
        assert rows.loc["centre disc, 50 %", "AUC"] == pytest.approx(expected.auc)
        assert rows.loc["centre disc, 50 %", "cIoU@0.3"] == pytest.approx(expected.success[0.3])
        assert rows.loc["centre disc, 50 %", "count"] == expected.count == len(pairs)
    with pytest.raises(ValueError, match="consensus"):
        benchmarks.trivial(found, "boxes")
    with pytest.raises(ValueError, match="mixed: no frame has a box"):
        benchmarks.trivial(replace(found, frames=found.frames[2:3]))


def test_music_mix_of_perfect_and_of_swapped_maps() -> None:
    good = benchmarks.music_mix(mixed(), half(0), (3, 8, 11), side=16, value=0.5)
    assert good.ciou.mean == pytest.approx(1, abs=0.15) and good.ciou.success[0.3] == 1 and good.ciou.count == 2
    assert good.without_box == 1 and good.without_map == ("unseen",)
    swapped = benchmarks.music_mix(mixed(), half(1), (3, 8, 11), side=16, value=0.5)
    assert swapped.ciou.success[0.3] == pytest.approx(0.5)


def test_music_mix_is_the_protocol_frame_by_frame() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = {key: torch.randn(3, 7, 7, generator=generator) for key in ("both", "one", "unseen")}
    score = benchmarks.music_mix(mixed(), maps, (3, 8, 11), side=14)
    ious, silent = [], []
    for frame in mixed().annotated:
        map_KYX = localize.resize(torch.softmax(3 * maps[frame.key].double(), 0), 14)
        lit = {c: map_KYX[k] > 0.2 * map_KYX[k].max() for k, c in enumerate((3, 8, 11))}
        truth = {c: mask.numpy() for c, mask in frame.class_masks(14).items()}
        ious.append(np.mean([(lit[c] & truth[c]).sum() / (lit[c] | truth[c]).sum() for c in truth]))
        silent.append(np.mean([(map_KYX[k] <= 0.2).mean() for k, c in enumerate((3, 8, 11)) if c not in truth]))
    assert score.ciou.mean == pytest.approx(np.mean(ious)) and score.nsa == pytest.approx(np.mean(silent))


def test_music_mix_with_nothing_silent_has_no_nsa() -> None:
    maps = {"both": half(0)["both"][:2]}
    assert math.isnan(benchmarks.music_mix(mixed(), maps, (3, 8), side=16).nsa)


def test_music_mix_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="both: 3 maps for 2 classes"):
        benchmarks.music_mix(mixed(), half(0), (3, 8))
    with pytest.raises(ValueError, match="both: category 8 is annotated"):
        benchmarks.music_mix(mixed(), half(0), (3, 7, 11), side=16)
    with pytest.raises(ValueError, match="none of its 3 annotated frames has a map"):
        benchmarks.music_mix(mixed(), {}, (3, 8, 11))


def test_equal_maps_of_all_classes_find_nothing_on_the_real_duets(folder: Path) -> None:
    """A uniform softmax gives no mask (CIoU 0) and still the best NSA: why the two are printed together."""
    found = benchmarks.music(folder / "duettest.json")
    sample = replace(found, frames=found.annotated[:40])
    classes = sorted(found.classes)
    map_KYX = torch.rand(1, 7, 7).expand(len(classes), -1, -1)
    score = benchmarks.music_mix(sample, {frame.key: map_KYX for frame in sample.frames}, classes, side=56)
    assert (score.ciou.count, score.ciou.mean, score.nsa) == (40, 0, 1)


ODD = (None, True, "", [], {}, -1, 10**400, 1e400, [1], {"a": 1}, "\ud800", 2**63, [[[[]]]], 0.5)
DOCUMENTS: dict[str, Any] = {
    "vggss": [{"file": "a", "class": "dog", "bbox": [[0.1, 0.2, 0.3, 0.4]]}, {"file": "b", "class": "cat", "bbox": []}],
    "music": {"a/b.jpg": music_row()},
    "audioset": {"a/1": {"bbox": [{"normbox": [0.1, 0.2, 0.3, 0.4], "category": 1}]}},
    "music_videos": {"videos": {"flute": ["a", "b"], "flute violin": ["c"]}},
}


def changed(value: Any, random: Random) -> Any:
    """A document with something else in one place, or without that place."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or random.random() < 0.15:
        return random.choice(ODD)
    at = random.choice(keys)
    kept = value if isinstance(value, dict) else dict(enumerate(value))
    made = {k: changed(v, random) if k == at else v for k, v in kept.items() if k != at or random.random() < 0.9}
    return made if isinstance(value, dict) else list(made.values())


def use(found: Any) -> None:
    """Whatever was read can be worked with."""
    if isinstance(found, Annotations):
        assert found.report()
        assert all(frame.class_masks(4).keys() == set(frame.categories) for frame in found.frames)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_whatever_a_json_file_holds_it_is_read_or_named(tmp_path: Path, name: str) -> None:
    file, random, read = tmp_path / "f.json", Random(0), getattr(benchmarks, name)
    for _ in range(150):
        raw = bytearray(json.dumps(changed(DOCUMENTS[name], random)).encode(random.choice(("utf-8", "utf-16"))))
        if random.random() < 0.3:
            raw[random.randrange(len(raw))] = random.randrange(256)
        file.write_bytes(raw)
        try:
            use(read(file))
        except ValueError as error:
            assert str(error).startswith(f"{file}: ")


HOPELESS = (b"", b"\xff\xfe", b"\xe9\xe8", b"[" * 100_000, b'{"a":' * 990, b"[1" + b"0" * 5000 + b"]")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_json_file_in_another_encoding_or_beyond_reading(tmp_path: Path, name: str) -> None:
    read, text = getattr(benchmarks, name), json.dumps(DOCUMENTS[name])
    expected = read(write(tmp_path / "f.json", text))
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / "f.json").write_bytes(text.encode(encoding))
        assert read(tmp_path / "f.json") == expected
    for raw in HOPELESS:
        (tmp_path / "f.json").write_bytes(raw)
        with pytest.raises(ValueError, match=r"f\.json: not a JSON file"):
            read(tmp_path / "f.json")


def test_whatever_an_xml_file_holds_it_is_read_or_named(tmp_path: Path) -> None:
    file, random = tmp_path / "1.xml", Random(0)
    text = '<?xml version="1.0" encoding="utf-8"?>' + flickr_xml((4, 4, 40, 40))
    odd = [text.replace("utf-8", other) for other in ("foo", "utf-7", "utf-32", "big5", "base64", "punycode")]
    odd += [text.replace(">4<", f">{value}<") for value in ("1e400", "9" * 5000, "nan", "", "1_0", "x")]
    for n in range(150):
        raw = bytearray((odd[n] if n < len(odd) else text).encode())
        if n >= len(odd):
            raw[random.randrange(len(raw))] = random.randrange(256)
        file.write_bytes(raw)
        try:
            use(benchmarks.flickr(tmp_path))
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path}: ") and "1.xml" in str(error)

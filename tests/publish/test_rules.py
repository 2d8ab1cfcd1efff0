"""Every rule lets the good chapter pass and catches its bad fixtures."""

import json

import pytest

from avlib.publish import chapters
from avlib.publish.check import check
from avlib.publish.rules import RULES, Page
from avlib.publish.writing import Book
from tests.publish.sample import (
    CONFIG,
    EXERCISE,
    INSTALL,
    PLAYER,
    PNG,
    QUIZ,
    chapter,
    code,
    good,
    installing,
    markdown,
    notebook,
    shown,
    stream,
    tree,
)

ALT = {"image": {"alt": "A line that rises from nought"}}
LONG = "\n".join(f"a{i} = {i}" for i in range(16))


def problems(root, cells, rule):
    tree(root, bad=cells, other=good())
    (root / "_config.yml").write_text(CONFIG)
    page = Page(chapter(root, "bad"), chapters.read(chapter(root, "bad").path), Book.of(root))
    return list(RULES[rule](page))


@pytest.mark.parametrize("rule", RULES)
def test_the_good_chapter_passes(tmp_path, rule):
    assert problems(tmp_path, installing(), rule) == []


def at(index, **changes):
    """A change: cell ``index`` of the good chapter gets other content."""
    return lambda cells: cells[index].update(changes)


def add(*cells):
    """A change: more cells."""
    return lambda before: before.extend(cells)


def without(index):
    """A change: a cell fewer."""
    return lambda cells: cells.pop(index)


def says(text, *tags):
    """A change: one more Markdown cell."""
    return add(markdown(text, *tags))


def puts(output, **metadata):
    """A change: one more code cell with that output."""
    return add(code("x", outputs=[output], **metadata))


BAD = [
    ("parameters", without(1), "no cells"),
    ("parameters", at(1, source="profile: str = 'cpu'"), "no 'seed'"),
    ("parameters", at(1, source="profile = 'cpu'\nseed = 0\nprint(1)"), "more than"),
    ("opening", at(0, source="A chapter\n\nWithout a title, yet with a sentence."), "# Title"),
    ("opening", at(0, source="# Title\n\n## And no description"), "missing"),
    ("opening", at(0, source="# Title\n\nToo short."), "10 characters"),
    ("counts", at(3, execution_count=None), "null"),
    ("counts", at(3, execution_count=7), r"\[7\] where \[2\]"),
    ("counts", add(code("  ")), "empty"),
    ("counts", lambda cells: [c.update(execution_count=None) for c in cells if "outputs" in c], "none of its 7"),
    ("outputs", puts({"output_type": "error", "ename": "KeyError", "evalue": "x", "traceback": []}), "KeyError"),
    ("outputs", puts(stream("a warning\n", "stderr")), "stderr"),
    ("outputs", puts(stream("read /home/me/data/a.wav\n")), "/home/me"),
    ("outputs", puts(shown(text_plain="<object at 0x7f00aa112233>")), "0x7f00"),
    ("length", add(code(LONG)), "16 lines"),
    ("length", add(code(f'name = "{chr(97) * 93}"')), "a line of 102 columns; at most 100"),
    (
        "length",
        lambda cells: [c.update(source="\n".join("abcdefghi")) for c in cells if c["cell_type"] == "code"],
        "median",
    ),
    ("length", says("word " * 161), "161 words"),
    ("imports", add(code("from numpy import *")), "star"),
    ("alt", at(3, metadata={}), "missing"),
    ("alt", at(3, metadata={"mystnb": {"image": {"alt": "plot"}}}), "'plot'"),
    ("alt", puts(shown(text_html=f'<img src="data:image/png;base64,{PNG}">')), "no alternative"),
    ("alt", puts(shown(text_html=PLAYER.replace(' aria-label="A dog that barks twice"', ""))), "aria-label"),
    ("alt", says("![](../../book/x.png)"), "x.png"),
    ("alt", says("```{figure} x.png\n:name: x\nCaption\n```"), ":alt:"),
    ("players", puts(shown(text_html='<audio src=""></audio>')), "empty source"),
    ("players", puts(shown(text_html="<audio></audio>")), "empty source"),
    ("players", puts(shown(text_html='<img alt="a" src="data:image/png;base64,!!!">')), "broken base64"),
    ("players", puts(shown(text_html='<audio src="data:audio/wav;base64,UklG"></audio>')), "only 3 bytes"),
    ("players", puts(shown(text_html='<audio src="https://example.org/a.wav"></audio>')), "outside"),
    ("players", puts(shown(text_html='<figure class="av av-player" aria-label="x"></figure>')), "no sound"),
    ("players", puts(shown(text_html='<script type="application/json">{"a": </script>')), "not JSON"),
    ("players", puts(shown(text_html='<script type="application/json">[]</script>')), "empty"),
    ("typed-number", says("It reaches 84 % here."), "84 %"),
    ("typed-number", says("It is right in 92.1 percent of cases."), "92.1 percent"),
    ("typed-number", says("Its IoU is 0.43."), "IoU is 0.43"),
    ("typed-number", says("We find R@10 of 0.5 and no more."), "R@10 of 0.5"),
    ("typed-number", says("An accuracy of about .87 is fine."), "accuracy of about .87"),
    ("typed-number", says("With 67.5 mAP it wins."), "67.5 mAP"),
    ("typed-number", says("| method | accuracy |\n|---|---|\n| ours | 74.1 % |"), "74.1 %"),
    ("typed-number", says("They report 84 %.", "typed-number"), "cites no source"),
    ("typed-number", says("They report 84 %. That was {cite:t}`known2020`.", "typed-number"), "cites no source"),
    ("typed-number", says("They report 84 % {cite:p}`known2020`."), "quote it"),
    ("typed-number", says("> They report 84 %."), "84 %"),
    ("typed-number", says("```{note}\nIt gains 3 points.\n```"), "3 points"),
    ("links", says("[x](missing.ipynb)"), "missing.ipynb"),
    ("links", says("[x](../2_part/other.ipynb)"), "2_part"),
    ("links", says("[x](other.ipynb#nowhere)"), "nowhere"),
    ("links", says("[x](#nowhere)"), "nowhere"),
    ("links", says("{doc}`missing`"), "missing"),
    ("links", says('<a href="gone.html">x</a>'), "gone.html"),
    ("links", says("```{figure} gone.png\n:alt: a picture\n```"), "gone.png"),
    ("citations", says("{cite:t}`known2020,unknown2021`"), "unknown2021"),
    ("links", says("{ref}`nowhere`"), "no label 'nowhere'"),
    ("conflict", at(2, source="<<<<<<< HEAD\nOurs.\n=======\nTheirs.\n>>>>>>> other"), "'<<<<<<< HEAD'"),
    ("conflict", add(code("%%bash\n>>>>>>> other")), "'>>>>>>> other'"),
    ("exercises", at(6, source=EXERCISE % (1, 1)), "1 exercises"),
    ("exercises", without(7), "before any solution"),
    ("exercises", without(8), "no cell tagged 'check'"),
    ("exercises", at(8, metadata={"tags": ["hidden-check"]}), "only hidden ones, which students do not see"),
    ("exercises", at(7, source="def double(x):\n    return 2 * x"), "no lines"),
    ("exercises", at(7, source="### BEGIN SOLUTION\nx = 1"), "no '### END"),
    ("exercises", at(7, source="f(\n### BEGIN SOLUTION\n1)\n### END SOLUTION"), "not Python"),
    ("check-message", at(8, source="assert double(2) == 4"), "'assert double(2) == 4'"),
    (
        "check-message",
        at(8, source="for x in (1, 2):\n    np.testing.assert_allclose(double(x), x + x)"),
        "assert_allclose(",
    ),
    ("check-message", at(8, source="torch.testing.assert_close(a, b, atol=1)"), "assert_close("),
    ("try", at(5, metadata={"tags": ["nbval-check-output"], "try": [["nowhere", "x"]]}), "stands 0 times"),
    ("try", at(5, metadata={"tags": ["nbval-check-output"], "try": ["x = 2"]}), "instead of [what is there"),
    ("try", at(5, metadata={"tags": ["nbval-check-output"], "try": "x = 2"}), "must be a list"),
    ("quiz", without(9), "no cells"),
    ("quiz", add(code(QUIZ, "quiz")), "2 cells"),
    ("install", lambda cells: None, "does not install"),
    ("install", lambda cells: cells.insert(1, code(INSTALL.replace("main", "old"), "install")), "does not fit"),
    ("hidden", add(code("x = 1", "remove-cell")), "remove-cell"),
    ("nbval", without(5), "no cell is tagged"),
    ("nbval", at(5, metadata={"tags": ["nbval-check-output", "nbval-ignore-output"]}), "'nbval-ignore-output'"),
    ("nbval", add(code("1", "nbval-skip")), "'nbval-skip'"),
]


@pytest.mark.parametrize(("rule", "change", "message"), BAD, ids=[f"{rule}-{i}" for i, (rule, _, _) in enumerate(BAD)])
def test_a_bad_chapter_is_caught(tmp_path, rule, change, message):
    cells = good()
    change(cells)
    found = problems(tmp_path, cells, rule)
    assert found, "the rule saw nothing"
    assert any(message.replace("\\", "") in p.message for p in found), [p.message for p in found]


def test_a_fault_of_the_whole_page_points_at_no_cell(tmp_path):
    cells = good()
    without(5)(cells)
    (found,) = problems(tmp_path, cells, "nbval")
    assert found.message.startswith("no cell is tagged") and (found.cell, found.id) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "They report 84 % {cite:p}`known2020`.|typed-number",
        "Right in 84 % ([Aytar 2016](https://example.org)). Fine.|typed-number",
        "> A gain of 84 %. {cite:p}`known2020`",
        "We count a hit where $\\mathrm{IoU} \\ge 0.5$, IoU@0.5 for short, or R@1, R@5 and R@10.",
        "Our accuracy is {glue:text}`acc`, about `84 %` of all.",
        "```python\nx = '84 %'\n```",
        "Sixteen classes, 64 pixels, 400 steps, chapter 3 and section 2.1; the map has 8 cells.",
        "The AUC and mAP of 3 networks; AP2 is a name.",
    ],
)
def test_numbers_that_may_stand_in_prose(tmp_path, text):
    words, _, tag = text.partition("|typed") if "|typed" in text else (text, "", "")
    assert problems(tmp_path, [*good(), markdown(words, *(["typed-number"] if tag else []))], "typed-number") == []


@pytest.mark.parametrize(
    "text",
    [
        "[x](https://example.org)",
        "[x](#a-chapter)",
        "{doc}`other`",
        "[x](/notebooks/1_part/other.ipynb)",
        "{ref}`ex-1` and {ref}`the library <api-avlib-errors>`",
        "[x](#api-avlib-publish-pages)",
        "`[x](gone)`",
    ],
)
def test_links_that_lead_somewhere(tmp_path, text):
    assert problems(tmp_path, [*good(), markdown(text)], "links") == []


def test_every_rule_has_a_bad_fixture():
    elsewhere = {"edited", "kernel"}  # in test_committed.py
    assert {rule for rule, _, _ in BAD} | elsewhere == set(RULES)


def test_the_report_names_what_is_not_json_and_what_never_ran(tmp_path):
    root = tree(tmp_path, fine=good(), other=good())
    (root / "notebooks" / "1_part" / "broken.ipynb").write_text("{")
    report = check(root)
    assert [p.rule for p in report.failures] == ["format", "stale", "stale"]
    assert "notebooks/1_part/broken.ipynb\n  format: " in report.text() and "not JSON" in report.text()
    told = json.loads(report.json())
    assert not told["ok"] and told["problems"][0] == {
        "chapter": "broken",
        "rule": "format",
        "message": report.problems[0].message,
        "cell": 0,
        "id": "",
        "level": "fail",
        "path": "notebooks/1_part/broken.ipynb",
        "line": 0,
    }


def test_the_median_ignores_the_quiz(tmp_path):
    cells = [*good(), code(LONG + "\n" + LONG, "quiz")]
    assert problems(tmp_path, cells, "length") == []
    assert notebook(*cells)["cells"][-1]["execution_count"] == 8

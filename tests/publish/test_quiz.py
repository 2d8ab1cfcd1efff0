"""The quiz: complete questions, explained answers, no script."""

import json
import re
import subprocess
import sys

import pytest

from avlib.publish import quiz

QUESTION = {
    "ask": "Is `x` < $y$?",
    "right": "yes",
    "why": "It is.",
    "wrong": {"no": "It is not.", "perhaps": "It is sure."},
}


def test_every_option_is_explained_and_exactly_one_is_right():
    html = quiz.show([QUESTION, {**QUESTION, "ask": "Again?"}])._repr_html_()
    assert html.count('type="radio"') == html.count('class="avq-why"') == 6
    assert html.count("<input") == 6 and len(re.findall(r'<input[^>]*class="avq-yes"', html)) == 2
    assert "<script" not in html and "http" not in html
    for name in re.findall(r'id="(avq-[\w-]+?)"', html):
        assert html.count(f'id="{name}"') == 1
    assert all(f'for="{name}"' in html for name in re.findall(r'<input[^>]*id="([^"]+)"', html))


def test_no_answer_is_told_before_it_is_given():
    html = quiz.show([QUESTION])._repr_html_()
    assert "aria-describedby" not in html and "avq-why{display:none" in html
    said = re.findall(r'<div class="avq-said" role="status"><div class="avq-why"><b>(.*?)</b>', html)
    assert sorted(said) == ["✓ Right.", "✗ Not this one.", "✗ Not this one."]


def test_text_is_escaped_and_code_and_mathematics_are_kept():
    html = quiz.show([QUESTION])._repr_html_()
    assert r"Is <code>x</code> &lt; \(y\)?" in html


def test_the_order_is_always_the_same_and_says_nothing():
    many = [{"ask": f"{n}?", "right": "r", "why": "so", "wrong": {"a": "no", "b": "no"}} for n in range(60)]
    first = sum(repr(quiz.show([q])).split("\n")[1].endswith("r") for q in many)
    assert 8 <= first <= 32 and repr(quiz.show(many)) == repr(quiz.show(many))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"why": ""}, "no 'why'"),
        ({"wrong": {}}, "no 'wrong'"),
        ({"wrong": {"no": " "}}, "'no' is not explained"),
        ({"wrong": ["no"]}, "a dict"),
        ({"wrong": {"yes": "x"}}, "right and as wrong"),
        ({"hint": "x"}, "hint"),
    ],
)
def test_incomplete_questions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        quiz.show([{**QUESTION, **change}])
    with pytest.raises(ValueError, match="at least one"):
        quiz.show([])


def test_a_quiz_from_a_file(tmp_path):
    path = tmp_path / "quiz.json"
    path.write_text(json.dumps([QUESTION]))
    assert quiz.show(path) == quiz.show([QUESTION])


def test_importing_it_loads_nothing_heavy():
    heavy = ("torch", "papermill", "nbval", "sphinx", "numpy")
    code = f"import sys, avlib.publish.quiz; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

"""A quiz that grades itself on a page without kernel, network or script: radio buttons and style alone.

A question is a dict: ``ask`` (the question), ``right`` (the right answer), ``why`` (why it is right) and ``wrong``, a
    dict from each wrong answer to what is wrong with it. Text may hold `code` in backticks and mathematics between
    dollars.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Quiz:
    """A quiz; shows itself on a page, and prints as plain text."""

    questions: tuple[Mapping[str, Any], ...]

    def _repr_html_(self) -> str:
        body = "".join(_fieldset(number, question, self.key) for number, question in enumerate(self.questions))
        style = files("avlib.publish").joinpath("quiz.css").read_text(encoding="utf-8").replace("\n", "")
        score = f'<p class="avq-score"> of {len(self.questions)}</p>'
        opened = '<form class="avq tex2jax_process mathjax_process" aria-label="Quiz">'
        return f"<style>{style}</style>{opened}{body}{score}</form>"

    @property
    def key(self) -> str:
        """A name made of the content, so that two quizzes on one page do not share buttons."""
        return hashlib.sha256(json.dumps(self.questions, sort_keys=True).encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines += [f"{number}. {question['ask']}", *(f"   ( ) {text}" for text, _, _ in _options(question))]
        return "\n".join(lines)


def show(source: str | Path | Sequence[Mapping[str, Any]]) -> Quiz:
    """A quiz from a list of questions, or from a JSON file that holds one.

    Raises:
        ValueError: no questions, a question without one of its four parts, an answer without explanation or given
            twice.

    Examples:
        >>> show([{"ask": "What is heard?", "right": "a dog", "why": "It barks.", "wrong": {"a cat": "Cats do not
        bark."}}]) 1. What is heard? ( ) a cat ( ) a dog
    """
    questions: Sequence[Mapping[str, Any]]
    questions = json.loads(Path(source).read_text(encoding="utf-8")) if isinstance(source, str | Path) else source
    if not questions:
        raise ValueError("a quiz needs at least one question")
    for number, question in enumerate(questions, 1):
        _check(number, question)
    return Quiz(tuple(questions))


def _check(number: int, question: Mapping[str, Any]) -> None:
    missing = [key for key in ("ask", "right", "why", "wrong") if not question.get(key)]
    if missing:
        raise ValueError(f"question {number} has no {' and no '.join(map(repr, missing))}")
    if unwanted := set(question) - {"ask", "right", "why", "wrong"}:
        raise ValueError(f"question {number} has {sorted(unwanted)}; a question holds ask, right, why and wrong")
    if not isinstance(question["wrong"], Mapping):
        raise ValueError(f"question {number}: 'wrong' is a dict from each wrong answer to its explanation")
    for answer, reason in question["wrong"].items():
        if not str(reason).strip():
            raise ValueError(f"question {number}: the wrong answer {answer!r} is not explained")
    if question["right"] in question["wrong"]:
        raise ValueError(f"question {number}: {question['right']!r} is given as right and as wrong")


def _options(question: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(answer, explanation, right?) in an order that says nothing and is always the same."""
    every = [
        (question["right"], question["why"], True),
        *((text, why, False) for text, why in question["wrong"].items()),
    ]
    return sorted(every, key=lambda option: hashlib.sha256(f"{question['ask']}{option[0]}".encode()).digest())


def _text(text: str) -> str:
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(text), quote=False))
    return re.sub(r"\$([^$]+)\$", r"\\(\1\\)", shown)  # on the site MathJax knows these delimiters, in Jupyter both


def _fieldset(number: int, question: Mapping[str, Any], key: str) -> str:
    rows = []
    for place, (text, why, right) in enumerate(_options(question)):
        name = f"avq-{key}-{number}-{place}"
        kind = ' class="avq-yes"' if right else ""
        button = f'<input type="radio" name="avq-{key}-{number}" id="{name}"{kind}>'
        verdict = "✓ Right." if right else "✗ Not this one."
        why = f'<div class="avq-why"><b>{verdict}</b> {_text(why)}</div>'
        said = f'<div class="avq-said" role="status">{why}</div>'  # read out when style shows it, and not before
        rows.append(f'<div class="avq-option">{button}<label for="{name}">{_text(text)}</label>{said}</div>')
    return f"<fieldset><legend>{number + 1}. {_text(question['ask'])}</legend>{''.join(rows)}</fieldset>"

"""Quizzes as QTI 1.2, in the form that text2qti gives them."""

import io
import zipfile
from xml.etree import ElementTree

import pytest

from avlib.publish import qti, quiz
from avlib.publish.chapters import ChapterError
from tests.publish.sample import QUIZ, code, good, notebook, tree
from tests.publish.test_commands import call

QUESTION = {"ask": "Is `x` < $y$?", "right": "yes", "why": "It is.", "wrong": {"no": "It's not & never.", "C++": "?"}}
ITEM = """\
item(ident,title)
 itemmetadata
  qtimetadata
   qtimetadatafield
    fieldlabel
    fieldentry
 presentation
  material
   mattext(texttype)
  response_lid(ident,rcardinality)
   render_choice
    response_label(ident)
     material
      mattext(texttype)
 resprocessing
  outcomes
   decvar(maxvalue,minvalue,varname,vartype)
  respcondition(continue)
   conditionvar
    varequal(respident)
   displayfeedback(feedbacktype,linkrefid)
  respcondition(continue)
   conditionvar
    varequal(respident)
   setvar(action,varname)
 itemfeedback(ident)
  flow_mat
   material
    mattext(texttype)
"""
"""What text2qti 0.8 writes for a question of one right answer with a reason each; likes stand there once."""


def shape(element, depth=0):
    """Elements and names of attributes, repeated ones once."""
    names = f"({','.join(sorted(element.attrib))})" if element.attrib else ""
    parts = [shape(child, depth + 1) for child in element]
    return f"{' ' * depth}{element.tag.rpartition('}')[2]}{names}\n" + "".join(dict.fromkeys(parts))


def opened(content):
    """The XML files of a package, parsed."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: ElementTree.fromstring(packed.read(name)) for name in packed.namelist()}


def test_a_question_has_the_form_of_text2qti():
    members = opened(qti.package(quiz.show([QUESTION, {**QUESTION, "ask": "Again?"}]), "one-two", "One & two"))
    assert list(members) == ["imsmanifest.xml", "avlib_one_two/assessment_meta.xml", "avlib_one_two/avlib_one_two.xml"]
    items = members["avlib_one_two/avlib_one_two.xml"].findall(".//{*}section[@ident='root_section']/{*}item")
    assert [shape(item) for item in items] == [ITEM, ITEM]
    assert members["avlib_one_two/assessment_meta.xml"].findtext("{*}points_possible") == "2.0"
    files = [file.get("href") for file in members["imsmanifest.xml"].findall(".//{*}file")]
    assert sorted(files) == sorted(list(members)[1:])


def test_only_the_right_answer_scores_and_each_says_why():
    whole = opened(qti.package(quiz.show([QUESTION]), "one", "One"))["avlib_one/avlib_one.xml"]
    answers = {e.get("ident"): e.findtext(".//{*}mattext") for e in whole.findall(".//{*}response_label")}
    assert sorted(answers.values()) == ["<p>C++</p>", "<p>no</p>", "<p>yes</p>"]
    scored = [
        c.findtext(".//{*}varequal") for c in whole.findall(".//{*}respcondition") if c.find("{*}setvar") is not None
    ]
    assert [answers[name] for name in scored] == ["<p>yes</p>"]
    told = {e.get("ident"): e.findtext(".//{*}mattext") for e in whole.findall(".//{*}itemfeedback")}
    assert {answers[name.removesuffix("_fb")]: why for name, why in told.items()} == {
        "<p>yes</p>": "<p>It is.</p>", "<p>no</p>": "<p>It's not &amp; never.</p>", "<p>C++</p>": "<p>?</p>",
    }  # fmt: skip
    assert whole.findtext(".//{*}presentation/{*}material/{*}mattext") == r"<p>Is <code>x</code> &lt; \(y\)?</p>"


def test_the_place_of_the_right_answer_says_nothing():
    many = quiz.show([{**QUESTION, "ask": f"{n}?", "right": f"right {n}"} for n in range(60)])
    whole = opened(qti.package(many, "many", "Many"))["avlib_many/avlib_many.xml"]
    texts = [
        [t.text for t in item.findall(".//{*}render_choice//{*}mattext")]
        for item in whole.iter()
        if item.tag[-4:] == "item"
    ]
    assert 8 <= sum("right" in text[0] for text in texts) <= 32
    assert qti.package(many, "many", "Many") == qti.package(many, "many", "Many")


def test_a_chapter_s_quiz_is_read_and_not_run():
    found = qti.quiz_of(notebook(code(f"from avlib.publish import quiz\n{QUIZ}", "quiz")), "one.ipynb")
    assert found is not None and found.questions[0]["right"] == "a"
    assert qti.quiz_of(notebook(code("1")), "one.ipynb") is None
    for source, message in (
        ("questions()", "no 'quiz.show"),
        ("quiz.show(made)", "malformed"),
        ("quiz.show([])", "at least"),
    ):
        with pytest.raises(ChapterError, match=rf"one.ipynb, cell 1: .*{message}"):
            qti.quiz_of(notebook(code(source, "quiz")), "one.ipynb")


def test_the_command_writes_a_package_a_chapter(tmp_path, capsys):
    root, out = tree(tmp_path / "book", one=good(), bare=[code("1")]), tmp_path / "quizzes"
    done, said, _ = call(capsys, "release", "--qti", "--out", out, "--root", root)
    assert done == 0 and "QTI: 1 quizzes" in said and [p.name for p in out.glob("*.zip")] == ["one.zip"]

"""A chapter's quiz as QTI 1.2, the form in which learning management systems take questions.

The package is laid out as text2qti's are, which Canvas and others import: a manifest, the settings, the questions.
"""

from __future__ import annotations

import ast
import hashlib
import html
import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from avlib.publish import chapters, quiz
from avlib.publish.chapters import ChapterError, Notebook
from avlib.publish.quiz import Quiz

QUESTIONS = "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"
SETTINGS = "http://canvas.instructure.com/xsd/cccv1p0"
MANIFEST = "http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"


def quiz_of(notebook: Notebook, where: str) -> Quiz | None:
    """The chapter's quiz, read and not run; None where it has none.

    Raises:
        ChapterError: a cell tagged ``quiz`` that does not show a literal list of questions.
        ValueError: see :func:`avlib.publish.quiz.show`.
    """
    for index, cell in chapters.tagged(notebook, "quiz"):
        try:
            calls = [node for node in ast.walk(ast.parse(cell["source"])) if isinstance(node, ast.Call)]
            shown = next(c for c in calls if c.args and ast.unparse(c.func).rpartition(".")[2] == "show")
            return quiz.show(ast.literal_eval(shown.args[0]))
        except (SyntaxError, StopIteration, OSError) as error:
            raise ChapterError(f"{where}, cell {index + 1}: no 'quiz.show([…])' with its questions inside") from error
        except ValueError as error:
            raise ChapterError(f"{where}, cell {index + 1}: {error}") from error
    return None


def package(found: Quiz, name: str, title: str) -> bytes:
    """The .zip to import; the same bytes for the same quiz."""
    ident = f"avlib_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
    members = {
        "imsmanifest.xml": _manifest(ident),
        f"{ident}/assessment_meta.xml": _settings(ident, title, len(found.questions)),
        f"{ident}/{ident}.xml": _assessment(found, ident, title),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, root in members.items():
            ElementTree.indent(root)
            text = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
            packed.writestr(zipfile.ZipInfo(path), text, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _text(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    """A child that holds text alone."""
    child = SubElement(parent, tag, attributes)
    child.text = text
    return child


def _shown(parent: Element, text: str) -> None:
    """Text as HTML: code in backticks, mathematics between dollars as the systems' MathJax knows it."""
    body = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(text), quote=False))
    body = re.sub(r"\$([^$]+)\$", r"\\(\1\\)", body)
    _text(SubElement(parent, "material"), "mattext", f"<p>{body}</p>", texttype="text/html")


def _fields(parent: Element, **fields: str) -> None:
    inside = SubElement(parent, "qtimetadata")
    for label, entry in fields.items():
        field = SubElement(inside, "qtimetadatafield")
        _text(field, "fieldlabel", label)
        _text(field, "fieldentry", entry)


def _assessment(found: Quiz, ident: str, title: str) -> Element:
    root = Element("questestinterop", {"xmlns": QUESTIONS})
    whole = SubElement(root, "assessment", {"ident": ident, "title": title})
    _fields(whole, cc_maxattempts="1")
    section = SubElement(whole, "section", {"ident": "root_section"})
    for number, question in enumerate(found.questions, 1):
        _item(section, question, f"{ident}_{number}", f"Question {number}")
    return root


def _item(section: Element, question: Mapping[str, Any], ident: str, title: str) -> None:
    """A question with one right answer; the reason of an answer is told to whoever chose it."""
    answers = {_id(ident, text): (text, why) for text, why in question["wrong"].items()}
    right = _id(ident, question["right"])
    answers = dict(sorted({**answers, right: (question["right"], question["why"])}.items()))
    item = SubElement(section, "item", {"ident": ident, "title": title})
    kind = {"question_type": "multiple_choice_question", "points_possible": "1"}
    ids = {"original_answer_ids": ",".join(answers), "assessment_question_identifierref": f"{ident}_ref"}
    _fields(SubElement(item, "itemmetadata"), **kind, **ids)
    asked = SubElement(item, "presentation")
    _shown(asked, question["ask"])
    choices = SubElement(asked, "response_lid", {"ident": "response1", "rcardinality": "Single"})
    choices = SubElement(choices, "render_choice")
    for name, (text, _) in answers.items():
        _shown(SubElement(choices, "response_label", {"ident": name}), text)
    judged = SubElement(item, "resprocessing")
    score = {"maxvalue": "100", "minvalue": "0", "varname": "SCORE", "vartype": "Decimal"}
    SubElement(SubElement(judged, "outcomes"), "decvar", score)
    for name in answers:
        told = _when(judged, name, "Yes")
        SubElement(told, "displayfeedback", {"feedbacktype": "Response", "linkrefid": f"{name}_fb"})
    _text(_when(judged, right, "No"), "setvar", "100", action="Set", varname="SCORE")
    for name, (_, why) in answers.items():
        _shown(SubElement(SubElement(item, "itemfeedback", {"ident": f"{name}_fb"}), "flow_mat"), why)


def _id(ident: str, text: str) -> str:
    """A name made of the answer; sorted by it, the right answer has no place of its own."""
    return f"{ident}_{hashlib.sha256(str(text).encode()).hexdigest()[:8]}"


def _when(judged: Element, name: str, go_on: str) -> Element:
    condition = SubElement(judged, "respcondition", {"continue": go_on})
    _text(SubElement(condition, "conditionvar"), "varequal", name, respident="response1")
    return condition


def _settings(ident: str, title: str, points: int) -> Element:
    root = Element("quiz", {"identifier": ident, "xmlns": SETTINGS})
    said = {"title": title, "description": "", "shuffle_answers": "true", "scoring_policy": "keep_highest"}
    said |= {"hide_results": "", "quiz_type": "assignment", "points_possible": f"{points:.1f}"}
    said |= {"show_correct_answers": "true", "allowed_attempts": "1"}
    for tag, text in said.items():
        _text(root, tag, text)
    return root


def _manifest(ident: str) -> Element:
    root = Element("manifest", {"identifier": f"{ident}_manifest", "xmlns": MANIFEST})
    about = SubElement(root, "metadata")
    _text(about, "schema", "IMS Content")
    _text(about, "schemaversion", "1.1.3")
    SubElement(root, "organizations")
    resources = SubElement(root, "resources")
    questions = SubElement(resources, "resource", {"identifier": ident, "type": "imsqti_xmlv1p2"})
    SubElement(questions, "file", {"href": f"{ident}/{ident}.xml"})
    SubElement(questions, "dependency", {"identifierref": f"{ident}_settings"})
    kind = "associatedcontent/imscc_xmlv1p1/learning-application-resource"
    path = f"{ident}/assessment_meta.xml"
    settings = SubElement(resources, "resource", {"identifier": f"{ident}_settings", "type": kind, "href": path})
    SubElement(settings, "file", {"href": path})
    return root

"""What the rules need to know about a Markdown cell: its plain prose, links, citations and directives."""

from __future__ import annotations

import re
from collections.abc import Iterator

FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,}|:{3,})[ \t]*(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.M | re.S)
CODE_LIKE = re.compile(
    r"^\{?(math|code|code-block|code-cell|raw|bibliography|tableofcontents|toctree|list-table|mermaid)\b"
)
MATH = re.compile(r"\$\$.*?\$\$|(?<![\\$])\$(?!\s)[^$\n]*?(?<!\\)\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S)
ROLE = re.compile(r"\{[\w:+-]+\}`[^`]*`")
SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.S)
LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?P<target><[^>]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)"
)
CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
DOC = re.compile(r"\{doc\}`(?:[^`<]*<)?([^`<>]+)>?`")
REF = re.compile(r"\{(?:ref|numref)\}`(?:[^`<]*<)?([^`<>]+)>?`")
CARD = re.compile(r"^[ \t]*:link:[ \t]*(\S+)[ \t]*\n[ \t]*:link-type:[ \t]*(doc|ref)[ \t]*$", re.M)
LABEL = re.compile(r"^\(([\w:.-]+)\)=\s*$", re.M)
HEADING = re.compile(r"^#{1,6} +(.+?)[ \t]*#*[ \t]*$", re.M)
COMMENT = re.compile(r"<!--.*?-->", re.S)


def without_code(text: str) -> str:
    """The text without code, mathematics and directives that hold either; other directives keep their content."""

    def unwrap(match: re.Match[str]) -> str:
        info = match["info"].strip()
        directive = info.startswith("{") and not CODE_LIKE.match(info)
        if not directive:
            return "\n"
        title = re.sub(r"^\{[\w:+-]+\}", "", info).strip()
        body = re.sub(r"\A(?:[ \t]*:[\w-]+:[^\n]*\n)+", "", match["body"])
        return f"{title}\n\n{without_code(body)}\n"

    text = FENCE.sub(unwrap, COMMENT.sub("", text))
    return MATH.sub(" ", text)


def plain(text: str) -> str:
    """What a reader reads: ``without_code`` minus roles, code spans, link targets and HTML tags."""
    text = SPAN.sub(" ", ROLE.sub(" ", without_code(text)))
    text = LINK.sub(lambda m: m["text"] if not m["image"] else " ", text)
    return re.sub(r"<[^>\n]+>|https?://\S+", " ", LABEL.sub("", text))


def words(text: str) -> int:
    """Words of prose (tables are not counted)."""
    lines = [line for line in plain(text).split("\n") if not line.lstrip().startswith("|")]
    return len(re.findall(r"[^\W\d_][\w'’-]*", " ".join(lines)))


def citations(text: str) -> Iterator[str]:
    """Keys of the bibliography that the text cites."""
    for match in CITE.finditer(FENCE.sub(lambda m: m[0] if m["info"].startswith("{") else "", text)):
        yield from (key.strip() for key in match[1].split(","))


def links(text: str) -> Iterator[tuple[str, str, bool]]:
    """(target, text, is it an image?) of each Markdown or HTML link outside code; roles have ``doc:`` or ``ref:``."""
    body = SPAN.sub(lambda m: m[0] if text[max(m.start() - 1, 0)] == "}" else " ", without_code(text))
    for match in LINK.finditer(body):
        yield match["target"].strip("<>"), match["text"], bool(match["image"])
    for match in re.finditer(r"<a\s[^>]*href=[\"']([^\"']*)", body):
        yield match[1], "", False
    for match in re.finditer(r"<img\s[^>]*>", body):
        source, alt = (re.search(rf"{name}=[\"']([^\"']*)", match[0]) for name in ("src", "alt"))
        yield source[1] if source else "", alt[1] if alt else "", True
    for match in DOC.finditer(text):
        yield f"doc:{match[1].strip()}", "", False
    for match in REF.finditer(text):
        yield f"ref:{match[1].strip()}", "", False
    for match in CARD.finditer(text):
        yield f"{match[2]}:{match[1]}", "", False


def figures(text: str) -> Iterator[tuple[str, bool]]:
    """(file, has it an ``:alt:``?) of each ``{figure}`` and ``{image}`` directive."""
    for match in FENCE.finditer(text):
        head = re.match(r"\{(figure|image)\}\s*(\S+)", match["info"])
        if head:
            yield head[2], re.search(r"^\s*:alt:\s*\S", match["body"], re.M) is not None
        elif match["info"].startswith("{"):
            yield from figures(match["body"])


def anchors(text: str) -> set[str]:
    """What a ``#…`` link can point at: labels and the slugs of headings."""
    slugs = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(without_code(text))
    }
    return slugs | labels(text)


def labels(text: str) -> set[str]:
    """Labels that the text gives itself, or its directives."""
    return set(LABEL.findall(text)) | set(re.findall(r"^\s*:(?:label|name):\s*(\S+)", text, re.M))


def sentences(text: str) -> list[str]:
    """The text cut after full stops, question marks and blank lines; each list item and table row is one of its own."""
    pieces = re.split(r"(?<=[.!?])\s+(?=[^a-z])|\n\s*\n|\n(?=\s*(?:[-*+|>]|\d+\.)\s?)", text)
    return [piece for piece in pieces if piece.strip()]

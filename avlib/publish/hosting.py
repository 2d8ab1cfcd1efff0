"""An edition by itself: only its chapters, links that lead somewhere, and an address of its own.

The student edition lives where ``repository: student:`` of ``_config.yml`` says (``url`` and ``branch``; the branch
``student`` of the book's repository where it says nothing). Its launch buttons and its README point there, so that
they never open a notebook with solutions; the library comes from the book's own repository.
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from avlib.publish import chapters, launch, prose
from avlib.publish.chapters import Chapter, Notebook

LINK = re.compile(rf"(?P<span>`+)[^`\n]+(?P=span)|{prose.LINK.pattern}")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#|$", re.I)
COPIED = ("LICENSE", "LICENSE-text", "ATTRIBUTIONS.md")

Resolve = Callable[[str], str | None]


def relinked(text: str, resolve: Resolve) -> str:
    """Markdown whose links within the book go where ``resolve`` says; one that goes nowhere leaves its words.

    Examples:
        >>> relinked("See [the world](the_world.ipynb) and `[x](y)`.", lambda target: None)
        'See the world and `[x](y)`.'
    """

    def change(match: re.Match[str]) -> str:
        if match["target"] is None or ELSEWHERE.match(match["target"].strip("<>")):
            return match[0]
        target = match["target"].strip("<>")
        found = resolve(target)
        if found is None:
            return match["text"]
        return match[0] if found == target else f"{match['image']}[{match['text']}]({found})"

    return LINK.sub(change, text)


def with_links(notebook: Notebook, resolve: Resolve) -> Notebook:
    """A copy of the notebook with its Markdown relinked."""
    made = copy.deepcopy(notebook)
    for cell in made["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relinked(cell["source"], resolve)
    return made


def on_site(folder: str, chosen: Collection[str]) -> Resolve:
    """For a page of the site in ``folder``: links to chapters that are not among ``chosen`` go nowhere."""

    def resolve(target: str) -> str | None:
        path = _path(folder, target)[0]
        return None if path.startswith("notebooks/") and path.endswith(".ipynb") and path not in chosen else target

    return resolve


def in_release(folder: str, present: Collection[str], site: bool) -> Resolve:
    """For a notebook of a release in ``folder``: files that are ``present``, and pages of the site that lies beside."""

    def resolve(target: str) -> str | None:
        path, anchor = _path(folder, target)
        if path not in present and site and path.startswith("book/") and path.endswith(".md"):
            path = f"site/{path.removesuffix('.md')}.html"
        elif path not in present:
            return None
        return posixpath.relpath(path, folder) + anchor

    return resolve


def _path(folder: str, target: str) -> tuple[str, str]:
    """The file that a link means, from the root of the book, and its anchor with ``#``."""
    name, mark, anchor = target.partition("#")
    path = name[1:] if name.startswith("/") else posixpath.join(folder, name)
    return posixpath.normpath(path), mark + anchor


def contents(toc: Any, chosen: Collection[str]) -> Any:
    """The table of contents without the chapters that are not among ``chosen``, and without parts left empty."""
    if isinstance(toc, list):
        return [kept for item in toc if (kept := contents(item, chosen)) is not None]
    if not isinstance(toc, dict):
        return toc
    name = str(toc.get("file", ""))
    if name.startswith("notebooks/") and f"{name}.ipynb" not in chosen:
        return None
    made = {key: kept for key, value in toc.items() if (kept := contents(value, chosen)) != []}
    return None if "chapters" in toc and "chapters" not in made and "root" not in toc else made


def configured(config: dict[str, Any], edition: str, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """The site's settings for an edition: its address, and chapters that it leaves out."""
    made = copy.deepcopy(config)
    if left_out:
        made["repository"] = {**(made.get("repository") or {}), "left_out": list(left_out)}
    if edition == "student":
        made.setdefault("sphinx", {}).setdefault("config", {})["hide_solutions"] = True
        repository = made.get("repository") or {}
        own, place = student_place(repository), launch.place(config)
        if own and place:
            made["repository"] = {**repository, **own, "library": "/blob/".join(place)}
            if own["url"] == repository["url"]:  # whose front page shows the solved notebooks
                made.setdefault("html", {})["use_repository_button"] = False
    return made


def student_place(repository: dict[str, Any]) -> dict[str, str]:
    """``url`` and ``branch`` of the student edition; empty for a book without an address."""
    url = str(repository.get("url") or "")
    return {"url": url, "branch": "student", **(repository.get("student") or {})} if url else {}


def student_notebook(notebook: Notebook, root: Path) -> Notebook:
    """A student's notebook with a first cell that installs the library of the book's own repository."""
    due = launch.source(root)
    return notebook if due is None else launch.stamp(notebook, due)


def front(root: Path, cut: Sequence[tuple[Chapter, Notebook]], site: bool) -> dict[str, bytes]:
    """What a folder of students' notebooks needs to stand alone: README, requirements, licences."""
    config = launch.config(root)
    repository = config.get("repository") or {}
    title = str(config.get("title") or "Notebooks")
    made = {name: (root / name).read_bytes() for name in COPIED if (root / name).is_file()}
    rows = [_row(chapter, notebook, config, student_place(repository)) for chapter, notebook in cut]
    lines = [
        f"# {title}",
        "",
        "Notebooks to work on: each exercise has a stub to fill in and checks that say how it went.",
    ]
    lines += ["The site is in [site/index.html](site/index.html)."] if site else []
    lines += ["", "| chapter | exercises | open in |", "|---|---|---|", *rows, "", "## Run them", ""]
    lines += ["On your own machine, with Python 3.11 or newer:", "", "```bash", "python -m venv .venv"]
    lines += [
        ".venv/bin/pip install -r requirements.txt",
        ".venv/bin/jupyter lab notebooks",
        "```",
        "",
        "## Licences",
        "",
    ]
    lines += [f"From *{title}* by {config.get('author') or 'its authors'}."]
    lines += [f"See {', '.join(f'[{name}]({name})' for name in made)}."] if made else []
    made["README.md"] = "\n".join([*lines, ""]).encode()
    made["requirements.txt"] = f"{launch.library(config)}\njupyterlab\nipykernel\n".encode()
    runtime = root / ".binder" / "runtime.txt"
    return {**made, "runtime.txt": runtime.read_bytes()} if runtime.is_file() else made


def _row(chapter: Chapter, notebook: Notebook, config: dict[str, Any], place: dict[str, str]) -> str:
    """A line of the README's table."""
    name = f"notebooks/{chapter.part}/{chapter.path.name}"
    count = sum("stub" in chapters.tags(cell) for cell in notebook["cells"])
    buttons = config.get("launch_buttons") or {}
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?", place.get("url", ""))
    links = []
    if found and (colab := buttons.get("colab_url")):
        links.append(f"[Colab]({colab}/github/{found[1]}/blob/{place['branch']}/{name})")
    if found and (binder := buttons.get("binderhub_url")):
        links.append(f"[Binder]({binder}/v2/gh/{found[1]}/{place['branch']}?urlpath=lab/tree/{name})")
    return f"| [{chapters.opening(notebook)[0] or chapter.name}]({name}) | {count} | {', '.join(links) or '–'} |"

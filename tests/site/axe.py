"""axe-core on a page: the rules of accessibility that a program can check."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from browser import Browser

CARRIER = "axe_playwright_python"
"""The package that brings axe-core (MPL 2.0) along as one script; nothing else of it is used."""

COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that another theme can break; all others are judged once a width."""

# Code is thousands of words in a dozen colours: one word of each colour is judged, and stands for the others.
THIN = """
(() => {
  const seen = new Set();
  document.querySelectorAll(".highlight span[class]").forEach(word => {
    if (seen.has(word.className)) word.replaceWith(...word.childNodes);
    else seen.add(word.className);
  });
  document.querySelectorAll("code .pre").forEach(word => word.replaceWith(...word.childNodes));
  document.querySelectorAll(".highlight pre, code").forEach(code => code.normalize());
})()
"""

# Equations are drawn by MathJax, whose own tree axe need not know: they are looked at as pictures of text.
RUN = """
axe.run({exclude: [["mjx-container"]]}, {resultTypes: ["violations"], preload: false, ...%s}).then(
  found => found.violations.map(v => [
    v.id, ...v.nodes.slice(0, 3).map(n => `${n.html.slice(0, 120)} at ${n.target.join(" ").slice(-80)}`)
  ].join("; "))
)
"""

# Colours that fade when the theme changes have changed at once: a page that draws no frames would never end fading.
STILL = """
document.head.append(Object.assign(document.createElement("style"), {
  textContent: "*, ::before, ::after { transition: none !important }"
}))
"""

# The theme lets the keyboard reach what scrolls, 0.3 s after the page was resized or changed.
SETTLED = "new Promise(done => setTimeout(() => done(1), 500))"


def script() -> str | None:
    """axe-core's script, or None where its package is not installed."""
    spec = find_spec(CARRIER)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "axe.min.js").read_text(encoding="utf-8")


def prepare(browser: Browser, axe: str) -> None:
    """Bring axe into the open page."""
    browser.run("window.MathJax?.startup?.promise?.then(() => 1)")
    browser.run(STILL)
    browser.run(THIN)
    browser.run(f"{axe};1")


def resize(browser: Browser, size: tuple[int, int], mobile: bool) -> None:
    """Give the prepared page another size, and the theme time to follow."""
    browser.resize(*size, mobile=mobile)
    browser.run(SETTLED)


def violations(browser: Browser, theme: str) -> list[str]:
    """What axe says of the open page in a theme: for each broken rule, its name and the first places."""
    browser.run(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")
    only = "{}" if theme == "light" else f"{{runOnly: {list(COLOURS)}}}"
    found: Any = browser.run(RUN % only)
    return list(found)

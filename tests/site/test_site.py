"""Opens every page of the site from its file, in a browser that can reach no host, and looks at what a reader sees."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser, find

pytestmark = pytest.mark.site

SOURCES = ("_config.yml", "_toc.yml", "requirements.lock", "book", "notebooks", "results")
WIDE, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="session")
def site(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of the sources."""
    from avlib.publish.build import build

    if find() is None:
        pytest.skip("no Chromium on this machine: install it, or name it in AVLIB_CHROMIUM")
    root = tmp_path_factory.mktemp("book")
    for name in SOURCES:
        if (repo / name).is_dir():
            shutil.copytree(repo / name, root / name, ignore=shutil.ignore_patterns("_build", "__pycache__"))
        elif (repo / name).exists():
            shutil.copy2(repo / name, root / name)
    return build(root, say=lambda line: None).parent


@pytest.fixture(scope="session")
def browser(site: Path) -> Iterator[Browser]:
    """One browser for all pages."""
    with Browser(str(find()), *WIDE) as opened:
        opened.resize(*WIDE)
        yield opened


def pages(site: Path) -> list[Path]:
    """All pages of the site; fragments inside of ``_static`` are no pages."""
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


def outside(requests: list[str], site: Path) -> list[str]:
    """Requests that leave the site's folder."""
    found = []
    for url in requests:
        place = urlparse(url)
        local = place.scheme == "file" and Path(unquote(place.path)).is_relative_to(site)
        if not local and place.scheme not in ("data", "blob", "about"):
            found.append(url)
    return found


@dataclass
class Seen:
    """What a visit to one page showed."""

    requests: list[str]
    complaints: list[str]
    facts: dict[str, Any]
    phone_width: int


FACTS = """
({
  title: document.title,
  description: document.querySelector("meta[name=description]")?.content ?? "",
  headings: document.querySelectorAll(".bd-article h1").length,
  silent: [...document.images].filter(i => !i.hasAttribute("alt")).map(i => i.src.slice(-80)),
  equations: document.querySelectorAll(".math").length,
  set: document.querySelectorAll("mjx-container").length,
  unset: document.querySelectorAll("mjx-merror, [data-mjx-error]").length,
})
"""


@pytest.fixture(scope="session")
def visits(site: Path, browser: Browser) -> dict[str, Seen]:
    """Each page opened once, wide and then as on a phone; the redirect at the top is looked at elsewhere."""
    seen = {}
    for page in pages(site):
        if page == site / "index.html":
            continue
        browser.open(page.as_uri())
        browser.run("window.MathJax?.startup?.promise?.then(() => 1)")
        facts = browser.run(FACTS)
        browser.resize(*PHONE, mobile=True)
        browser.wait(0.1)
        width = browser.run("document.documentElement.scrollWidth")
        browser.resize(*WIDE)
        seen[page.relative_to(site).as_posix()] = Seen(browser.requests, browser.complaints, facts, width)
    return seen


def test_no_page_asks_for_anything_outside(site: Path, visits: dict[str, Seen]) -> None:
    assert {name: found for name, seen in visits.items() if (found := outside(seen.requests, site))} == {}


def test_no_page_complains(visits: dict[str, Seen]) -> None:
    assert {name: seen.complaints for name, seen in visits.items() if seen.complaints} == {}


def test_each_page_says_what_it_is(visits: dict[str, Seen]) -> None:
    own = {name: seen.facts for name, seen in visits.items() if name not in ("genindex.html", "search.html")}
    assert [name for name, facts in own.items() if not facts["description"]] == []
    assert {name: facts["headings"] for name, facts in own.items() if facts["headings"] != 1} == {}
    assert {name: facts["silent"] for name, facts in own.items() if facts["silent"]} == {}
    titles = [facts["title"] for facts in own.values()]
    assert {title for title in titles if titles.count(title) > 1} == set()


def test_equations_are_set_without_a_network(visits: dict[str, Seen]) -> None:
    facts = {name: seen.facts for name, seen in visits.items() if seen.facts["equations"]}
    if not facts:
        pytest.skip("no page has an equation")
    assert {name: fact for name, fact in facts.items() if fact["set"] < fact["equations"] or fact["unset"]} == {}


def test_pages_fit_a_phone(visits: dict[str, Seen]) -> None:
    assert {name: seen.phone_width for name, seen in visits.items() if seen.phone_width > PHONE[0] + 1} == {}


# Texts whose contrast with their ground is under 4.5, the WCAG's bound for running text.
CONTRAST = """
(() => {
  const linear = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|transparent/.test(c)) return c;
    }
    return "rgb(255, 255, 255)";
  };
  const ratio = e => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const what = ["p", "a", "h1", "h2", ".sight", ".sound", "code"].map(s => ".bd-article " + s).join() + ", .bd-links a";
  return [...document.querySelectorAll(what)]
    .filter(e => e.offsetParent && e.textContent.trim())
    .map(e => [ratio(e), e.textContent.trim().slice(0, 40)])
    .filter(([r]) => r < 4.5)
    .slice(0, 5);
})()
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(site: Path, browser: Browser, theme: str) -> None:
    for name in ("book/index.html", "book/methods.html", "book/glossary.html"):
        browser.open((site / name).as_uri(), settle=0.1)
        browser.run(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")
        browser.wait(0.5)
        assert browser.run(CONTRAST) == [], f"{name} in {theme}"


@pytest.mark.parametrize("query", ["SoundNet", "Look, Listen and Learn", "InfoNCE", "syllabus"])
def test_search_finds_a_method_by_its_name_from_a_file(site: Path, browser: Browser, query: str) -> None:
    browser.open(f"{(site / 'search.html').as_uri()}?q={query.replace(' ', '+')}")
    await_results = "new Promise(r => setTimeout(r, 1200))"
    browser.run(await_results)
    assert browser.run("document.querySelectorAll('#search-results li a').length") > 0
    assert browser.complaints == []
    assert outside(browser.requests, site) == []


def test_the_keyboard_reaches_the_content(site: Path, browser: Browser) -> None:
    browser.open((site / "book/index.html").as_uri())
    reached = set()
    for _ in range(60):
        browser.key("Tab")
        reached.add(
            browser.run("document.activeElement.closest('.bd-article, .bd-sidebar-primary, #pst-skip-link')?.className")
        )
    assert any("bd-article" in str(name) for name in reached)
    assert any("sidebar-primary" in str(name) for name in reached)


def test_the_home_page_has_a_scene_to_play(site: Path, browser: Browser) -> None:
    browser.open((site / "book/index.html").as_uri(), settle=1.0)
    assert browser.run("document.querySelectorAll('.bd-article audio, .bd-article button').length") > 0


def test_the_first_page_leads_home(site: Path, browser: Browser) -> None:
    browser.open((site / "index.html").as_uri(), settle=1.5)
    assert browser.run("location.pathname").endswith("/book/index.html")


def test_the_map_names_every_method_and_links_every_chapter(site: Path, browser: Browser) -> None:
    browser.open((site / "book/methods.html").as_uri())
    assert browser.run("document.querySelectorAll('.bd-article table tbody tr').length") >= 18
    chapters = [p for p in pages(site) if "notebooks" in p.parts and "1_foundations" not in p.parts]
    links = browser.run("[...document.querySelectorAll('.bd-article table a')].map(a => a.href)")
    assert {p.as_uri() for p in chapters} <= {link.split("#")[0] for link in links}

"""Opens every page of the site from its file, in a browser that can reach no host, and looks at what a reader sees."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
import torch

from avlib.figures import matrix, player
from tests.figures.clips import clips

sys.path.insert(0, str(Path(__file__).parent))
import axe
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

    @property
    def weight(self) -> int:
        """Bytes of all files that the page asked for."""
        files = {unquote(urlparse(url).path) for url in self.requests if url.startswith("file:")}
        return sum(Path(file).stat().st_size for file in files if Path(file).is_file())


FACTS = """
({
  title: document.title,
  description: document.querySelector("meta[name=description]")?.content ?? "",
  headings: document.querySelectorAll(".bd-article h1").length,
  silent: [...document.images].filter(i => !i.hasAttribute("alt")).map(i => i.src.slice(-80)),
  equations: document.querySelectorAll(".math").length,
  set: document.querySelectorAll("mjx-container").length,
  cut: [...document.querySelectorAll(".bd-article div.highlight pre")]
    .filter(p => p.scrollWidth > p.clientWidth + 1 && Math.max(...p.textContent.split("\\n").map(l => l.length)) <= 100)
    .map(p => p.textContent.slice(0, 80)),
  height: document.documentElement.scrollHeight,
  modules: [...document.querySelectorAll(".bd-article h2 code")].map(e => e.textContent),
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


def test_a_hundred_columns_of_code_are_seen_whole(visits: dict[str, Seen]) -> None:
    assert {name: seen.facts["cut"] for name, seen in visits.items() if seen.facts["cut"]} == {}


def test_pages_and_pictures_are_light(site: Path, visits: dict[str, Seen]) -> None:
    text = {name: seen.weight for name, seen in visits.items() if not seen.facts["equations"]}
    assert text and {name: weight for name, weight in text.items() if weight > 1_300_000} == {}
    assert [path.name for path in site.rglob("_images/*") if path.stat().st_size > 400_000] == []


def test_the_library_has_a_page_a_group_and_a_section_a_module(visits: dict[str, Seen]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "_ext"))
    from avlib_site import modules

    groups = {name: seen.facts for name, seen in visits.items() if name.startswith("book/api/")}
    sections = [module for facts in groups.values() for module in facts["modules"]]
    assert len(sections) == len(set(sections)) and set(sections) <= set(modules())
    assert {".".join(name.split(".")[:2]) for name in modules()} <= {".".join(s.split(".")[:2]) for s in sections}
    assert {name: facts["height"] for name, facts in groups.items() if facts["height"] > 20_000} == {}


def test_every_link_within_the_site_leads_to_a_file(site: Path) -> None:
    dead = []
    for page in pages(site):
        for link in re.findall(r'(?:href|src)="([^"#?]+)[^"]*"', page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:|//", link) and not (page.parent / unquote(link)).is_file():
                dead.append(f"{page.relative_to(site)}: {link}")
    assert dead == []


def test_the_download_button_gives_the_notebook(site: Path, browser: Browser) -> None:
    chapter = next(page for page in pages(site) if "notebooks" in page.parts)
    browser.open(chapter.as_uri())
    href, keep = browser.run(
        "(b => [b.href, b.hasAttribute('download')])(document.querySelector('.btn-download-source-button'))"
    )
    assert Path(unquote(urlparse(href).path)).read_text(encoding="utf-8").startswith("{") and keep


def test_no_chapter_shows_the_code_of_its_quiz(site: Path) -> None:
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages(site) if "notebooks" in page.parts}
    shown = {name: re.sub(r"<[^>]+>", "", text) for name, text in texts.items()}
    assert [name for name, text in shown.items() if "quiz.show(" in text] == []
    assert [name for name, text in texts.items() if 'class="avq' not in text] == []


FADES = """<!doctype html><html lang="en"><title>t</title><style>
body { background: white } p { color: black; transition: color 60s }
[data-theme=dark] p { color: #eee }
</style><main><h1>t</h1><p>Words that fade for a minute.</p></main>"""


def test_axe_judges_the_colours_in_which_fading_would_end(tmp_path: Path, browser: Browser) -> None:
    source = axe.script()
    if source is None:
        pytest.skip(f"{axe.CARRIER}, which carries axe-core, is not installed: run `make env`")
    page = tmp_path / "fades.html"
    page.write_text(FADES, encoding="utf-8")
    browser.open(page.as_uri())
    axe.prepare(browser, source)
    assert axe.violations(browser, "light") == []
    assert [broken.split(";")[0] for broken in axe.violations(browser, "dark")] == ["color-contrast"]


@pytest.mark.slow
def test_axe_finds_nothing_on_any_page_in_either_theme_wide_or_narrow(site: Path, browser: Browser) -> None:
    source = axe.script()
    if source is None:
        pytest.skip(f"{axe.CARRIER}, which carries axe-core, is not installed: run `make env`")
    found = {}
    for page in pages(site):
        if page == site / "index.html":
            continue
        browser.resize(*WIDE)
        browser.open(page.as_uri())
        axe.prepare(browser, source)
        for size in (WIDE, PHONE):
            axe.resize(browser, size, mobile=size == PHONE)
            for theme in ("light", "dark"):
                if broken := axe.violations(browser, theme):
                    found[page.relative_to(site).as_posix(), size[0], theme] = broken
    browser.resize(*WIDE)
    assert found == {}


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


SEEN = """
(() => {
  const e = document.activeElement, card = e.closest(".sd-card");
  const line = e => [getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)];
  const drawn = e => e && line(e)[0] !== "none" && line(e)[1] >= 2;
  return e === document.body || drawn(e) || drawn(card) ? "" : e.outerHTML.slice(0, 120);
})()
"""


def test_one_sees_where_the_keyboard_is(site: Path, browser: Browser) -> None:
    browser.open((site / "book/index.html").as_uri())
    unseen = set()
    for _ in range(60):
        browser.key("Tab")
        unseen.add(browser.run(SEEN))
    assert unseen == {""}


def tab_to(browser: Browser, what: str, most: int = 1500) -> None:
    """Press Tab until the focus is on a ``what``."""
    for _ in range(most):
        browser.key("Tab")
        if browser.run(f"document.activeElement.matches('{what}')"):
            return
    pytest.fail(f"{most} times Tab did not reach {what}")


def test_the_keyboard_alone_plays_a_clip_and_answers_the_quiz(site: Path, browser: Browser) -> None:
    browser.open((site / "notebooks/2_transfer/soundnet.html").as_uri())
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    tab_to(browser, ".av-play")
    browser.key("Enter")
    assert "Pause" in browser.run("document.activeElement.textContent")
    tab_to(browser, ".avq input")
    browser.key(" ")
    assert browser.run("[...document.querySelectorAll('.avq-why')].filter(e => e.offsetParent).length") == 1


def test_a_matrix_of_twelve_shows_all_its_columns(site: Path, browser: Browser) -> None:
    element = matrix(torch.eye(12), clips(12))
    browser.open((site / "book/glossary.html").as_uri())
    place = f'<div class="cell_output docutils container"><div class="output text_html">{element.html}</div></div>'
    browser.run(f"document.querySelector('.bd-article').innerHTML = {json.dumps(place)}")
    width, whole = browser.run("(s => [s.clientWidth, s.scrollWidth])(document.querySelector('.av-scroll'))")
    assert whole <= width


@pytest.fixture
def played(browser: Browser, tmp_path: Path) -> Iterator[tuple[float, float, float, float]]:
    """A page with one player and room to scroll: left, top, width and height of its spectrogram, px."""
    page = player(clips(2, frames=8), 0).save(tmp_path / "player.html")
    browser.open(page.as_uri(), settle=0.5)
    browser.run("document.body.style.height = '3000px'")
    box = browser.run(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.av-spec').getBoundingClientRect())"
    )
    yield tuple(box)
    browser.resize(*WIDE)


def where(browser: Browser) -> float:
    """The player's place in the sound, s."""
    return float(browser.run("document.querySelector('.av-spec').getAttribute('aria-valuenow')"))


def test_dragging_over_a_spectrogram_seeks(browser: Browser, played: tuple[float, float, float, float]) -> None:
    left, top, width, height = played
    middle = top + height / 2
    browser.drag((left + 0.1 * width, middle), (left + 0.75 * width, middle))
    assert where(browser) == pytest.approx(0.75, abs=0.03)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=left + 0.2 * width, y=middle)
    assert where(browser) == pytest.approx(0.75, abs=0.03), "the button is up"


def test_a_swipe_over_a_spectrogram_scrolls_the_page(
    browser: Browser, played: tuple[float, float, float, float]
) -> None:
    left, top, width, height = played
    browser.swipe((left + 0.6 * width, top + 0.9 * height), 100)
    browser.wait(0.3)
    assert browser.run("window.scrollY") > 50 and where(browser) == 0

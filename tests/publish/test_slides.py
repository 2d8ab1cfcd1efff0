"""Decks: what stands on a slide, drawn formulas, links that lead somewhere, and nothing of the notebook that runs."""

import base64
import re

import pytest

from avlib.publish import formulas
from avlib.publish.sanitise import clean
from avlib.publish.slides import deck
from tests.publish.sample import PLAYER, PNG, code, good, markdown, notebook, shown, small, stream

EVIL = "<script>steal()</script><img src=x onerror=steal()><a href='javascript:steal()'>x</a><iframe src=//x></iframe>"


def sections(*cells):
    """The slides of a deck, each as HTML."""
    page = deck(notebook(*cells))
    assert page is not None
    return re.findall(r"<section.*?</section>", page, re.S)


def test_a_deck_stands_alone():
    cells = good()
    cells[2] = markdown(r"So $\frac{1}{n}\sum_i x_i$, see [there](other.ipynb#a). {cite:p}`known2020`", "slide")
    page = deck(notebook(*cells))
    assert page is not None and page.count("<section") == 2
    assert not re.search(r"(?:src|href)=[\"'](?!data:)|@import|url\(", page)
    assert "<h1>A chapter</h1>" in page and 'alt="A line that rises from nought"' in page
    assert page.count("<svg") == 1 and ", see <a>there</a>" in page and "known2020" not in page
    assert deck(notebook(*small())) is None


def test_without_tagged_code_a_deck_shows_figures_players_and_short_code():
    figure = code("plot()", outputs=[shown(image_png=PNG)], mystnb={"image": {"alt": "A line that rises"}})
    player = code("play()", outputs=[shown(text_html=PLAYER)])
    long = code("\n".join(f"a{n} = {n}" for n in range(9)), outputs=[stream("long\n")])
    cells = [markdown("## Idea", "slide"), code("short()", outputs=[stream("said\n")]), markdown("Look:"), figure]
    cells += [markdown("Listen:"), player, markdown("## Next", "slide"), long, code("later()")]
    one, two, three, four = sections(*cells)
    assert "short()" in one and "<pre>said\n</pre>" in one and "<img" not in one
    assert (
        "Look:" in two and f'alt="A line that rises" src="data:image/png;base64,{PNG}"' in two and "plot()" not in two
    )
    assert '<p class="part">Idea</p>' in two and "Listen:" in three and "<audio" in three and "play()" not in three
    assert "<h2>Next</h2>" in four and "<pre" not in four


def test_tagged_code_is_the_author_s_choice():
    chosen = code("chosen()", "slide", outputs=[shown(image_png=PNG)])
    (one,) = sections(markdown("# T", "slide"), code("short()"), chosen, code("x", outputs=[shown(image_png=PNG)]))
    assert "chosen()" in one and "short()" not in one and one.count("<img") == 1


def test_exercises_and_their_checks_are_not_shown():
    (one,) = sections(markdown("# T", "slide"), code("answer = 1", "solution"), code("assert answer", "check"))
    assert "answer" not in one


def test_a_player_plays_with_the_script_of_the_library_and_no_other():
    mine = PLAYER.replace("</figure>", "<script>steal()</script></figure>")
    page = deck(notebook(markdown("# T", "slide"), code("p()", outputs=[shown(text_html=mine)])))
    assert page is not None and "steal" not in page and page.count("<script>") == 2
    assert "'.av.av-player:not(.av-on)'" in page and "@NAME@" not in page and ".av-stage{" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and policy[1].count("'sha256-") == 2 and policy[1].startswith("default-src 'none'")


def test_html_of_notebooks_cannot_run_or_load_anything():
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg">{EVIL}</svg>'
    cells = [markdown(f"# T\n\n{EVIL}\n\n![A plan](plan.png)", "slide"), code("a", outputs=[shown(text_html=EVIL)])]
    cells += [markdown("More", "slide"), code("b", outputs=[shown(**{"image_svg+xml": drawing})], mystnb={})]
    page = deck(notebook(*cells))
    assert page is not None and not re.search(r"steal|onerror|javascript|<iframe", page) and "<i>A plan</i>" in page
    assert base64.b64encode(drawing.encode()).decode() in page  # within <img>, where no script runs


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("<b>a</b> < 3 & C++", "<b>a</b> &lt; 3 &amp; C++"),
        ("<scr<script></script>ipt>x</script>", "x"),
        ('<div style="background:url(https://x.org/a)">x</div>', "<div>x</div>"),
        ('<div style="background:\\75rl(x)">x</div>', "<div>x</div>"),
        ('<div style="width:3%;position:fixed">x</div>', '<div style="width:3%;">x</div>'),
        ('<img alt="a" src="https://x.org/a.png">', '<img alt="a">'),
        ('<img src="data:text/html;base64,AAAA">', "<img>"),
        ('<form action="//x"><input name="a">x</form>', "x"),
        ('<a href="https://x.org" target="_top" ping="//y">x</a>', '<a href="https://x.org">x</a>'),
        ('<a href="data:text/html,x">x</a><a href="#here">y</a>', "<a>x</a><a>y</a>"),
    ],
)
def test_what_is_left_of_html(dirty, expected):
    assert clean(dirty) == expected


@pytest.mark.parametrize("text", [r"`$\frac{a$` and `C++`", "It costs $5 and C++ is free.", r"\$x\$"])
def test_what_is_no_mathematics_stays_text(text):
    (one,) = sections(markdown(f"# T\n\n{text}", "slide"))
    assert "<svg" not in one and text.replace("\\$", "$").replace("`", "").split()[0] in re.sub(r"<[^>]*>", " ", one)


def test_a_formula_of_its_own_stands_apart():
    (one,) = sections(markdown("# T\n\nIn $x$ and\n\n$$\ny\n$$", "slide"))
    before, after = one.split('<div class="display">')
    assert before.count("<svg") == after.count("<svg") == 1


def test_the_marks_of_formulas_cannot_be_written():
    (one,) = sections(markdown("# T\n\nIn \ue0000\ue001 and $x$ it is \ue0017\ue000.", "slide"))
    assert one.count("<svg") == 1 and "\ue000" not in one and "\ue001" not in one
    assert "In 0 and" in one and "it is 7." in one


def test_tex_that_cannot_be_drawn_is_shown_as_it_is():
    (one,) = sections(markdown("# T\n\nA class $\\frac{a$ and $\\foo<b>$.", "slide"))
    assert one.count('<code class="tex">') == 2 and r"\frac{a</code>" in one and "&lt;b&gt;" in one


@pytest.mark.parametrize(
    "tex",
    [
        r"p(k \mid \mathbf x) = \mathrm{softmax}_k(\mathbf w_k^\top \mathbf x + b_k)",
        r"\tilde p_{(k)} = \max_{j \le k}\, \min\bigl(1,\; (K - j + 1)\, p_{(j)}\bigr)",
        r"\hat p = \tfrac1P \textstyle\sum_p S_{k,p} \,\Vert\, \sqrt W \to \text{a word}",
        r"\ell = w^\top \mathrm{ReLU}\left(W \begin{bmatrix} v \\ a \end{bmatrix} + b\right)",
        r"\begin{aligned} a &= b \\[2pt] &\ge c \tag{1} \end{aligned}",
    ],
)
def test_the_formulas_of_the_book_are_drawn(tex):
    assert 'class="tex"' not in formulas.formula(tex) and "<svg" in formulas.formula(tex)


def test_each_row_of_a_formula_is_a_drawing():
    shown_ = formulas.formula(r"\begin{aligned}a &= b \\ c &= d\end{aligned}", display=True)
    assert shown_.count("<svg") == 2 and shown_.startswith('<div class="display">')

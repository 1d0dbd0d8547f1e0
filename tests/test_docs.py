"""The pages: links lead somewhere, names are listed and exist, code blocks run."""

import importlib
import importlib.util
import re
import string
from pathlib import Path

import pandas as pd
import pytest

from sklasd import list_recipes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = DOCS / "auto_examples"  # by the gallery, of examples/
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "benchmarks" / "README.md",
        *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
    ]
)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)
RUN = [ROOT / "README.md", *(DOCS / f"{name}.md" for name in (
    "quickstart", "thresholds", "domain_shift", "persistence", "contracts", "plotting",
))]  # fmt: skip


def title(path):
    return str(path.relative_to(ROOT))


def prose(path):
    """Return a page without its blocks of code."""
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def links(path):
    """Return the targets of a page's links and pictures that are within the repository."""
    targets = re.findall(r"\]\(<?([^)\s>]+)>?\)", prose(path))
    return [target for target in targets if not target.startswith(("http:", "https:", "mailto:"))]


def anchors(path):
    """Return what may follow the # of a link to a page: headings as GitHub writes them, labels."""
    kept = string.ascii_lowercase + string.digits + "_- "
    headings = re.findall(r"^#+ (.*)$", prose(path), re.M)
    # An included page's headings are this page's.
    for name in re.findall(r"```{include} (\S+)", path.read_text(encoding="utf-8")):
        if (path.parent / name).exists():  # else it is made when the pages are built
            headings += re.findall(r"^#+ (.*)$", prose(path.parent / name), re.M)
    slugs = {"".join(c for c in h.lower() if c in kept).replace(" ", "-") for h in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", prose(path), re.M))


LABELS = set().union(*(re.findall(r"^\(([\w-]+)\)=$", prose(page), re.M) for page in PAGES))


def leads_somewhere(page, target):
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if GENERATED in path.parents:
        return path.name == "index.rst" or (ROOT / "examples" / f"{path.stem}.py").is_file()
    if not path.is_file():
        return False
    return not anchor or anchor in anchors(path) or (not name and anchor in LABELS)


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=title)
    def test_each_leads_to_a_file_and_a_heading(self, page):
        assert [t for t in links(page) if not leads_somewhere(page, t)] == []

    def test_dead_ones_are_found(self):
        page = DOCS / "index.md"
        assert leads_somewhere(page, "detectors.md#speed")
        for dead in ("no_such.md", "detectors.md#no-such", "#no-such", "auto_examples/no_such.rst"):
            assert not leads_somewhere(page, dead)

    def test_every_page_is_in_a_table_of_contents(self):
        listed = {DOCS / "index.md"}
        for page in DOCS.rglob("*.md"):
            for block in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.S):
                names = [line for line in block.splitlines() if line and line[0] != ":"]
                listed |= {found for n in names for found in page.parent.glob(f"{n}.md")}
        pages = {page for page in PAGES if DOCS in page.parents and page.name[0] != "_"}
        assert pages - listed == set()


def load(path):
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestMadePages:
    pages = load(DOCS / "_ext" / "pages.py")

    def test_every_public_name_exists_and_has_a_page(self, tmp_path):
        self.pages.write_api(tmp_path)
        text = "\n".join(page.read_text() for page in tmp_path.glob("*.rst"))
        listed = re.findall(r"^   ([\w.]+)$", text, re.M)
        names = [name for own in self.pages.public_names().values() for name in own]
        assert sorted(listed) == sorted(set(names))
        for name in names:
            package, _, last = f"sklasd.{name}".rpartition(".")
            assert hasattr(importlib.import_module(package), last), name

    def test_recipes_are_listed_with_what_they_need(self, tmp_path):
        self.pages.write_choice(tmp_path, ROOT / "benchmarks")
        text = (tmp_path / "_choose_table.md").read_text()
        rows = [line.split(" | ") for line in text.splitlines()[2:]]
        assert [row[0].strip("| `") for row in rows] == [n for n in list_recipes() if ":" not in n]
        assert rows[0][4:8] == ["nothing", "no net, seconds", "yes", "clips"]


class TestCode:
    @pytest.mark.slow
    @pytest.mark.parametrize("page", RUN, ids=title)
    def test_blocks_run_in_order(self, page, tmp_path, monkeypatch):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        pyplot.switch_backend("agg")
        monkeypatch.chdir(tmp_path)
        names = {}
        blocks = [b for b in BLOCK.findall(page.read_text(encoding="utf-8")) if b[1] == "python"]
        assert blocks
        for indent, _, code in blocks:
            exec(re.sub(f"^{indent}", "", code, flags=re.M), names)
        pyplot.close("all")

    def test_pages_that_say_so_are_run(self):
        says = [page for page in PAGES if "on this page run in order" in page.read_text()]
        assert set(says) <= set(RUN)


class TestMeasuredDetectors:
    def test_tables_are_those_of_the_figures(self, tmp_path):
        bench = load(ROOT / "benchmarks" / "bench_detectors.py")
        bench.report(pd.read_csv(ROOT / "benchmarks" / "detectors.csv"), tmp_path)
        name = "_detectors_table.md"
        assert (tmp_path / name).read_text() == (DOCS / name).read_text()


class TestExtensions:
    """What the build of the pages adds to Sphinx; they need the extra `docs`."""

    def test_what_is_loaded_from_elsewhere_is_found(self):
        pytest.importorskip("sphinx")
        find = load(DOCS / "_ext" / "offline.py").loaded_from_elsewhere
        assert find('<a href="https://a.org">away</a><img src="near.png">') == []
        assert find('<script async src="https://a.org/x.js">') == ["https://a.org/x.js"]
        assert find('<link rel="stylesheet" href="//a.org/x.css">') == ["//a.org/x.css"]
        assert find("@font-face {src: url(https://a.org/f)}") == ["https://a.org/f"]

    def test_lines_are_joined_but_rows_of_formulas_are_not(self):
        lines = ["a \\", "  b", r"x &= y \\", "  z &= w"]
        load(DOCS / "conf.py").join_lines(None, "class", "", None, None, lines)
        assert lines == ["a b", r"x &= y \\", "  z &= w"]

    def test_formulas(self):
        pytest.importorskip("latex2mathml")
        pytest.importorskip("docutils")
        to_mathml = load(DOCS / "_ext" / "mathml.py").to_mathml
        assert "<msup><mi>x</mi><mn>2</mn></msup>" in to_mathml("x^2")
        rows = to_mathml(r"a &= b \\ c &= d", "block")
        assert rows.count("<mtr>") == 2
        assert "&<" not in rows
        assert to_mathml(r"\begin{cases} a & b \\ c & d \end{cases}", "block").count("<mtr>") == 2

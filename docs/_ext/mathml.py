"""Formulas as MathML, made while the pages are built: readers need no script and no network."""

from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert_to_element


def to_mathml(latex, display="inline"):
    """Convert a formula; rows that are aligned at & need an environment around them."""
    first_row, *more = latex.split(r"\\")
    if more and r"\begin{" not in first_row:
        latex = r"\begin{split}" + latex + r"\end{split}"
    formula = convert_to_element(latex.strip(), display=display)
    draw_bars(formula)
    # Names of characters are already written out, and would be written out twice.
    return ElementTree.tostring(formula, encoding="unicode").replace("&amp;#", "&#")


def draw_bars(formula):
    """Make bars over formulas borders; browsers stretch those of mathematical fonts only."""
    for over in formula.iter("mover"):
        mark = over[1]
        if mark.text in ("&#x02015;", "\u2015"):
            over.tag = "mrow"
            over.set("class", "bar")
            over.remove(mark)


def visit_math(self, node):
    """Write a formula within a line."""
    self.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def visit_displayed(self, node):
    """Write a formula on a line of its own, which scrolls where the page is narrow."""
    self.body.append(f'<div class="formula">{to_mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Configuration of the documentation; `make docs` builds it."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ["OMP_NUM_THREADS"] = "1"  # before torch: the examples are too small for more

import pages

import sklasd

project = "sklasd"
author = "The sklasd developers"
copyright = author
version = release = sklasd.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "offline",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "_templates",
    "generated/backreferences",
    "sg_execution_times.rst",
    "_detectors_table.md",
    "_choose_table.md",
]
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name, else code
nitpicky = True  # of links that are written out, each has to lead somewhere
nitpick_ignore_regex = [("py:obj", ".*")]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# -- pages -----------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sklasd"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["sklasd.css"]
WIDE = ("choose", "detectors", "benchmarks")  # pages of wide tables
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": {"**": ["page-toc"]} | {page: [] for page in WIDE},
}

# -- docstrings ------------------------------------------------------------------------------------
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False  # the template lists them

# -- examples --------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sklasd",),
    "backreferences_dir": "generated/backreferences",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # a page that loads scripts from elsewhere
    "abort_on_example_error": True,
}


def join_lines(app, what, name, obj, options, lines):
    """Continue a line that ends in a backslash, which a raw docstring keeps."""
    # Two backslashes end a row of a formula.
    lines[:] = re.sub(r" *(?<!\\)\\\n\s*", " ", "\n".join(lines)).split("\n")


def write_pages(app, config):
    """Write the pages that are made of the code, before Sphinx looks for pages."""
    docs = Path(__file__).parent
    pages.write_api(docs / "api")
    pages.write_choice(docs, docs.parent / "benchmarks")


def setup(app):
    """Make pages of the code, and join lines before numpydoc reads them."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-docstring", join_lines, priority=400)

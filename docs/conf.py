"""Configuration of the documentation; `make docs` builds it."""

import os
import re

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: the examples are too small for more

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
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "_templates",
    "generated/backreferences",
    "sg_execution_times.rst",
    "_detectors_table.md",
]
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name, else code

# -- pages -----------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sklasd"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}

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
    "abort_on_example_error": True,
}


def join_lines(app, what, name, obj, options, lines):
    """Continue a line that ends in a backslash, which a raw docstring keeps."""
    lines[:] = re.sub(r" *\\\n\s*", " ", "\n".join(lines)).split("\n")


def setup(app):
    """Run before numpydoc reads the docstrings."""
    app.connect("autodoc-process-docstring", join_lines, priority=400)

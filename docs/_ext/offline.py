"""Refuse to build pages that load anything from elsewhere, such as scripts, styles and fonts."""

import re
from pathlib import Path

from sphinx.errors import ExtensionError

# What a browser fetches by itself; <a href> only leads away.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|(?:@import\s+|url\()["']?((?:https?:)?//[^"'\s)]+)""",
    re.IGNORECASE,
)


def loaded_from_elsewhere(text):
    """List the addresses that a page or a style sheet loads from other hosts."""
    return [address for found in LOADED.findall(text) for address in found if address]


def check(app, exception):
    """Look through what was built."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pages = [*out.rglob("*.html"), *out.rglob("*.css")]
    found = {
        f"{page.relative_to(out)}: {address}"
        for page in pages
        for address in loaded_from_elsewhere(page.read_text(encoding="utf-8"))
    }
    if found:
        raise ExtensionError("Pages load from elsewhere:\n" + "\n".join(sorted(found)))


def setup(app):
    """Check at the end of each build."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

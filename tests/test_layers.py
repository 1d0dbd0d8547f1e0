"""Imports point down only, and heavy packages are imported where they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sklasd

ROOT = Path(sklasd.__file__).parent
LAYERS = [  # top first; a module may import from lower layers, and from its own
    {"__main__", "cli", "_demo"},
    {
        "_info", "_plots", "_protocol", "_runs", "recipes", "submission", "_submission_names",
        "_submission_reader", "testing",
    },
    {"datasets"},
    {"detectors", "features", "model_selection"},
    {"base"},
    {"training", "scores"},
    {
        "nets", "losses", "simulation", "metrics", "_windows", "_threshold", "_validation",
        "_clips", "_map_clips", "_dcase_scorer", "_evaluation", "_roc", "_scored_clips",
        "_progress", "_output", "_split_clips",
    },
]  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ONLY_IN = {
    "skorch": {"training", "base", "detectors"},
    "librosa": {"features", "datasets"},
    "typer": {"cli"},
    "matplotlib": {"_plots"},
    "torch": {
        "nets", "losses", "simulation", "training", "scores", "base", "detectors", "features",
        "testing", "_windows", "_validation", "_map_clips",
    },
}  # fmt: skip
MODULES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py")


def imports(path):
    """Yield the dotted name of everything a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "sklasd":
                yield from (f"sklasd.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = room(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top in ONLY_IN:
            assert own in ONLY_IN[top], f"{path} imports {top}"
        if top == "sklasd" and rest and rest[0] in LEVEL:
            assert LEVEL[rest[0]] >= LEVEL[own], f"{path} imports {name} from above"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_has_its_place(path):
    assert room(path) in LEVEL, f"{path} is in no layer"


def test_nets_know_torch_only():
    for folder in ("nets",):
        for path in (ROOT / folder).glob("*.py"):
            known = {"__future__", "collections", "itertools", "typing", "math", "torch", "sklasd"}
            assert {name.split(".")[0] for name in imports(path)} <= known, path


def test_no_detector_imports_another():
    for path in (ROOT / "detectors").glob("_*.py"):
        if path.name != "__init__.py":
            assert not [name for name in imports(path) if name.startswith("sklasd.detectors")], path


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_is_quick():
    heavy = "{'torch', 'skorch', 'librosa', 'pandas', 'sklearn', 'scipy', 'matplotlib'}"
    loaded = f"import sys; print(sorted({heavy} & set(sys.modules)))"
    assert run(f"import sklasd, sklasd.cli; {loaded}") == "[]"
    assert "torch" not in run(f"from sklasd import LogMel; LogMel(); {loaded}")


def test_public_names_exist():
    names = "import sklasd; print(sorted(n for n in sklasd.__all__ if getattr(sklasd, n)))"
    assert run(names) == str(sorted(sklasd.__all__))
    assert {"LogMel", "OEAutoencoder", "make_recipe"} <= set(sklasd.__all__)


def test_version():
    from importlib.metadata import version

    assert sklasd.__version__ == version("sklasd")

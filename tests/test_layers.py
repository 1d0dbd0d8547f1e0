"""Imports point down only, and heavy packages are imported where they are needed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklasd

ROOT = Path(sklasd.__file__).parent
FLOORS = [  # top first; a module may import from its own room and from lower floors
    {"__main__", "cli"},
    {"report"},
    {"evaluation", "inspection", "persistence", "pipeline", "plotting", "recipes", "submission"},
    {"detectors", "datasets", "model_selection", "metrics", "testing"},
    {"fusion"},
    {"base", "features", "backends"},
    {"training"},
    {"nets", "losses", "simulation", "scores", "clips"},
    {"utils"},
]
NEIGHBOURS = {  # pairs of one floor of which the first may import the second
    ("__main__", "cli"),
    ("recipes", "pipeline"),
    ("evaluation", "recipes"),
    ("plotting", "inspection"),
    ("backends", "base"),
    ("nets", "simulation"),
}
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
ONLY_IN = {
    "skorch": {"training"},
    "librosa": {"features", "datasets"},
    "typer": {"cli"},
    "matplotlib": {"plotting", "report"},
    "jinja2": {"report"},
    "torch": {
        "nets", "losses", "simulation", "training", "scores", "base", "detectors", "features",
        "testing", "clips", "utils",
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
        if top != "sklasd" or not rest or rest[0] in {own, "__version__"}:
            continue
        assert rest[0] in FLOOR, f"{path} imports {name} from the hall, not from its room"
        is_below = FLOOR[rest[0]] > FLOOR[own]
        assert is_below or (own, rest[0]) in NEIGHBOURS, f"{path} imports {name}, which is no lower"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_has_its_place(path):
    assert room(path) in FLOOR, f"{path} is on no floor"


def test_nets_know_torch_only():
    arithmetic = [*(ROOT / "nets").glob("*.py"), *(ROOT / "losses").glob("*.py")]
    for path in [*arithmetic, ROOT / "simulation.py"]:
        known = {
            "__future__",
            "abc",
            "collections",
            "itertools",
            "typing",
            "math",
            "torch",
            "sklasd",
        }
        known |= {"lazy_loader"} if path.stem == "__init__" else set()
        assert {name.split(".")[0] for name in imports(path)} <= known, path


def test_every_neighbour_is_needed():
    used = {
        (room(p), name.split(".")[1]) for p in MODULES for name in imports(p) if "sklasd." in name
    }
    assert used >= NEIGHBOURS


def test_no_detector_imports_another():
    own_stages = {"_auddsr.py": {"sklasd.detectors._discrete_autoencoder"}}
    files = [path for path in (ROOT / "detectors").glob("_*.py") if path.name != "__init__.py"]
    # Modules without a class share functions between detectors.
    helpers = {f"sklasd.detectors.{p.stem}" for p in files if "\nclass " not in p.read_text()}
    for path in files:
        others = {name for name in imports(path) if name.startswith("sklasd.detectors")}
        assert others - helpers <= own_stages.get(path.name, set()), path


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_is_quick():
    heavy = "{'torch', 'skorch', 'librosa', 'pandas', 'sklearn', 'scipy', 'matplotlib'}"
    loaded = f"import sys; print(sorted({heavy} & set(sys.modules)))"
    assert run(f"import sklasd, sklasd.cli; {loaded}") == "[]"
    assert "torch" not in run(f"from sklasd import LogMel; LogMel(); {loaded}")
    # A look at a folder waits for nothing that computes.
    assert run(f"import sklasd.cli._info; {loaded}") == "['pandas']"


def test_public_names_exist():
    names = "import sklasd; print(sorted(n for n in sklasd.__all__ if getattr(sklasd, n)))"
    assert run(names) == str(sorted(sklasd.__all__))
    assert {"LogMel", "OEAutoencoder", "make_recipe"} <= set(sklasd.__all__)


def test_packages_are_attributes():
    used = {"datasets": "fetch_panns", "metrics": "dcase_score", "submission": "read_submission"}
    for package, name in used.items():
        assert run(f"import sklasd; print(sklasd.{package}.{name}.__name__)") == name
    documented = re.findall(r"^   (\w+)\.\w+$", (ROOT.parent / "docs" / "api.md").read_text(), re.M)
    assert set(used) <= set(documented) <= set(sklasd.__all__)


def test_version():
    from importlib.metadata import version

    assert sklasd.__version__ == version("sklasd")

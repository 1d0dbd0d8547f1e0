"""Pages that are made of the code before each build: the API, and the table of recipes."""

import importlib
import inspect
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pandas as pd

import sklasd

ROOT = Path(sklasd.__file__).parent
MODULES = ("pipeline", "recipes", "persistence", "testing")  # public names without a stub


def public_names():
    """Return the public names of each package and module, those of the top level without it."""
    top = re.findall(r"^from \.\w[\w.]* import (\w+)", (ROOT / "__init__.pyi").read_text(), re.M)
    names = {
        stub.parent.name: re.findall(r"import (\w+) as", stub.read_text())
        for stub in sorted(ROOT.glob("*/__init__.pyi"))
    }
    names |= {name: importlib.import_module(f"sklasd.{name}").__all__ for name in MODULES}
    return {
        package: [
            name if name in top else f"{package}.{name}"
            for name in own
            # A second name of a class has no page of its own.
            if getattr(importlib.import_module(f"sklasd.{package}"), name).__name__ == name
        ]
        for package, own in names.items()
    }


def is_foreign_class(thing):
    """Return whether a class has most of its methods from torch or scikit-learn."""
    foreign = {"torch.nn.modules.module", "sklearn.pipeline"}
    return inspect.isclass(thing) and bool(foreign & {base.__module__ for base in thing.__mro__})


def is_own_class(thing):
    """Return whether a class is described by its methods."""
    return inspect.isclass(thing) and not is_foreign_class(thing)


def write_api(folder):
    """Write a page for each package, whose names Sphinx then documents one by one."""
    folder.mkdir(exist_ok=True)
    for package, names in public_names().items():
        module = importlib.import_module(f"sklasd.{package}")
        lines = [package, "=" * len(package), "", module.__doc__, "", ".. currentmodule:: sklasd"]
        for template, kind in (
            ("estimator.rst", is_own_class),
            ("module.rst", is_foreign_class),
            (None, inspect.isfunction),
        ):
            own = [n for n in names if kind(getattr(module, n.rpartition(".")[2]))]
            if own:
                lines += ["", ".. autosummary::", "   :toctree: ../generated/", "   :nosignatures:"]
                lines += [f"   :template: {template}"] if template else []
                lines += ["", *(f"   {name}" for name in own)]
        text = "\n".join(lines) + "\n"
        page = folder / f"{package}.rst"
        if not page.exists() or page.read_text() != text:  # Sphinx rebuilds what is newer
            page.write_text(text)


def write_choice(folder, benchmarks):
    """Write the table of recipes: what each needs, from the code, and what was measured."""
    spec = spec_from_file_location("bench_detectors", benchmarks / "bench_detectors.py")
    bench = module_from_spec(spec)
    spec.loader.exec_module(bench)
    table = bench.choose_table(pd.read_csv(benchmarks / "detectors.csv"))
    (folder / "_choose_table.md").write_text(bench.as_markdown(table) + "\n")

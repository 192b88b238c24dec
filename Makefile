# `make demo` sets up and shows the main job; `make test` sets up and runs all checks.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.set-up
CHECKS := $(VENV)/.set-up-checks
FONTS := $(VENV)/.set-up-fonts
BROWSER := $(VENV)/.set-up-browser
BENCH := $(VENV)/.set-up-bench
# `make bench QUICK=1`: few sentences, once; `make bench PARTS="aligners equal"`: some parts.
PARTS ?= aligners equal efficiency launches int16 scoring start streaming growth ray_engine
OUT ?= $(if $(QUICK),build/bench-quick,results/bench)
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Published gold sets and parallel text: what these variables name, else folders beside the checkout if they exist.
export ALIGN_EVAL_DATA ?= $(wildcard $(abspath ../shared/gold))
export ALIGN_EVAL_PARALLEL ?= $(wildcard $(abspath ../shared/parallel))

.PHONY: setup demo test test-fast test-native test-reliability test-ray bench lint format clean

setup: $(SETUP)

# torch first: its pinned version is the CPU build, and nothing after it may choose another.
$(SETUP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet torch==2.13.0
	@$(BIN)/python -m pip install --quiet --editable '.[offline,dev]'
	@touch $(SETUP)

# What only the tests need: the statistical aligners, Ray, and the offline models,
# fetched and converted once into the cache.
$(CHECKS): $(SETUP)
	@$(BIN)/python -m pip install --quiet --editable '.[statistical,ray]'
	@$(BIN)/align-eval models add e5-small
	@$(BIN)/align-eval models add smollm2-135m
	@touch $(CHECKS)

# Fonts of the scripts that the tests of figures draw, where apt-get can install them; those tests are skipped otherwise.
$(FONTS): $(SETUP) .ci/fonts.sh
	@sh .ci/fonts.sh $(BIN)/python
	@touch $(FONTS)

# Chromium for the browser tests of the page, where apt-get can install it; those tests are skipped otherwise.
$(BROWSER): $(SETUP) .ci/chromium.sh
	@sh .ci/chromium.sh
	@touch $(BROWSER)

# What the benchmark compares with (the statistical aligners, awesome-align, NLTK), Ray, and the shared model.
$(BENCH): $(SETUP)
	@$(BIN)/python -m pip install --quiet --editable '.[statistical,bench,ray]'
	@$(BIN)/align-eval models add e5-small
	@touch $(BENCH)

demo: $(SETUP)
	$(BIN)/align-eval demo

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two processes for two cores; one thread each, so that they do not fight.
test: lint $(CHECKS) $(FONTS) $(BROWSER)
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n 2 --dist loadgroup

# What needs no model, no browser and no cluster, and takes no seconds each.
test-fast: $(CHECKS)
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not model and not browser and not ray and not slow"

# The compiled functions under AddressSanitizer and UndefinedBehaviorSanitizer: their tests, then mutated link files.
test-native: $(CHECKS)
	$(BIN)/python tests/native/sanitized.py

# Mutated input for every reader and kills at random moments, within ten minutes; figures into results/reliability.
test-reliability: $(CHECKS)
	$(BIN)/python tests/reliability.py

# The engine that spreads a run over actors alone: it starts a cluster of two workers on this machine.
test-ray: $(CHECKS)
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest tests/runs/engines -m ray

# Speed, memory and scale against other packages, into $(OUT). A part that fails does not keep the others from running.
bench: $(BENCH)
	@failed=; for part in $(PARTS); do \
	    script=experiments/bench/$$part.py; \
	    test -f $$script || continue; \
	    echo "$$part" >&2; \
	    $(BIN)/python $$script --out $(OUT) $(if $(QUICK),--quick) || failed="$$failed $$part"; \
	done; \
	$(BIN)/python experiments/bench/report.py --out $(OUT); \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

format: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

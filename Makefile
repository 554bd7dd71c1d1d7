# `make help` lists every target. Each target first sets up .venv if it is missing or out of date. This file holds what
# recipes share; a recipe of several steps adds its own in recipes/NAME/recipe.mk.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
# Not .venv/bin/asr: a script's first line cannot name an interpreter in a folder with spaces on every system.
ASR := .venv/bin/python -m asr
READY := .venv/ready
export PYTHONUTF8 := 1

.PHONY: help setup demo yesno an4 librispeech-mini librispeech ljspeech commonvoice family test test-slow lint docs \
  bench clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s%s\n", $$1, $$2}'
	@printf '  make %-20s%s\n' NAME-seeds 'any recipe with three seeds, or SEEDS=N: mean and standard deviation' \
	  NAME-receipts 'the same, and receipts for recipes/NAME/receipts: docs/compare.md'

setup: $(READY) ## make .venv with the pinned packages (needs the network once)

demo: runs/demo/test.hyp.jsonl ## synthesise, train, decode and score spoken digit strings in unseen voices
	@$(ASR) score data/demo/test.jsonl $<
	@echo
	@echo "One recording, data/demo/test/0000.wav, is transcribed as:"
	@$(ASR) transcribe runs/demo/model.safetensors data/demo/test/0000.wav 2>/dev/null
	@cat recipes/demo/next.txt

# Print the scores of best path, and of language models: `$(call scores,references,folder of the run)`.
scores = echo "best path:"; $(ASR) score $(1) $(2)/test.hyp.jsonl; \
  echo "with language models of the training texts:"; $(ASR) score $(1) $(2)/test.lm.hyp.jsonl

yesno: runs/yesno/test.hyp.jsonl ## 60 recordings of eight Hebrew words each
	@$(ASR) score data/yesno/test.jsonl $<

an4: runs/an4/test.hyp.jsonl ## names, addresses and numbers, spelled; under an hour
	@$(ASR) score --config recipes/an4/config.yaml data/an4/test.jsonl $<

librispeech-mini: runs/librispeech-mini/test.hyp.jsonl ## 5 hours of read English books; the whole test-clean
	@$(ASR) score --config recipes/librispeech-mini/config.yaml data/librispeech-mini/test.jsonl $<

librispeech: runs/librispeech/test.hyp.jsonl ## 100 hours of read English books
	@$(ASR) score --config recipes/librispeech/config.yaml data/librispeech/test.jsonl $<

ljspeech: runs/ljspeech/test.hyp.jsonl ## one reader of English, 24 hours
	@$(ASR) score --config recipes/ljspeech/config.yaml data/ljspeech/test.jsonl $<

commonvoice: runs/commonvoice/test.hyp.jsonl ## any language, from a downloaded archive: SOURCE=FILE
	@$(ASR) score --config recipes/commonvoice/config.yaml data/commonvoice/test.jsonl $<

family: data/fsdd/train.jsonl data/mboshi/train.jsonl ## every cell, direction and decoder compared: docs/family.md
	.venv/bin/python bench/family.py recipes/fsdd/config.yaml --minutes 2 --parameters 500000 \
	  --set model.subsampling=2 --set model.channels=48 --set model.dropout=0.3 --set model.dropout_mask=utterance \
	  --set augment.frequency_warp=0.2
	.venv/bin/python bench/family.py recipes/mboshi/config.yaml --minutes 4 --parameters 1000000 \
	  --set features.window_ms=25 --set model.subsampling=4 --set model.channels=32 \
	  --set model.dropout=0.2 --set model.dropout_mask=utterance --set augment.frequency_warp=0 \
	  --set augment.tempo=0 --set augment.frequency_masks=0 --set augment.time_masks_per_second=0

# Processes that test, at most 8: by default one for each core. WORKERS=0 tests in one process, as a debugger needs it.
WORKERS ?= logical

test: $(READY) ## the quick tests
	.venv/bin/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile

test-slow: $(READY) ## the tests that train on real speech
	.venv/bin/python -m pytest -m slow

lint: $(READY) ## style, types, and layers of imports
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command as lint_imports; lint_imports()'

docs: $(READY) ## build the documentation site in site/
	.venv/bin/python -m mkdocs build --strict

OF_A_MODEL := $(addprefix bench/,decode.py family.py next.py page.py runtime.py sessions.py spaced_words.py \
  step_parts.py word_times.py)
bench: $(READY) ## speed of each stage beside its baseline, one JSON line a result; those that need a model aside
	@set -e; export GOMP_SPINCOUNT=2000; \
	for script in $(filter-out %_peers.py $(OF_A_MODEL),$(wildcard bench/*.py)); do .venv/bin/python "$$script"; done

clean: ## remove what recipes made; .venv stays
	rm -rf runs
	find data -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

# Set up once, and again if the pinned versions change. uv installs the packages; if it is missing, pip installs it into
# .venv. If that fails, pip installs everything, slowly. Both compile all packages to bytecode: where Python may not
# write it, each start would compile PyTorch anew, for seconds.
INSTALL := -r requirements.txt -e '.[train,docs,dev]'
$(READY): pyproject.toml requirements.txt
	@command -v uv >/dev/null || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; name one with make PYTHON=…" >&2; exit 1; }
	@if command -v uv >/dev/null; then \
	  [ -x .venv/bin/python ] || uv venv --quiet --python "$$(command -v $(PYTHON))" .venv; \
	  uv pip install --compile-bytecode --python .venv/bin/python $(INSTALL); \
	else \
	  [ -x .venv/bin/pip ] || $(PYTHON) -m venv .venv; \
	  if .venv/bin/python -m pip install --quiet uv; then \
	    .venv/bin/python -m uv pip install --compile-bytecode --python .venv/bin/python $(INSTALL); \
	  else \
	    .venv/bin/python -m pip install --compile $(INSTALL); \
	  fi; \
	fi
	@touch $@

# Any recipe: recipes/NAME/{prepare.py,config.yaml} -> data/NAME -> runs/NAME. SOURCE=PATH is a local copy of the
# corpus, a folder or an archive. Steps run one after another, since training takes the whole machine.
.NOTPARALLEL:

data/%/train.jsonl: recipes/%/prepare.py | $(READY)
	.venv/bin/python $< $(if $(SOURCE),--source "$(SOURCE)")
	@touch $@

runs/%/model.safetensors: recipes/%/config.yaml data/%/train.jsonl | $(READY)
	$(ASR) train --overwrite $<

runs/%/test.hyp.jsonl: runs/%/model.safetensors
	$(ASR) transcribe $< data/$*/test.jsonl -o $@

runs/%/model.lm.safetensors: runs/%/model.safetensors
	$(ASR) tune $< data/$*/validation.jsonl --lm-text data/$*/train.jsonl -o $@

runs/%/test.lm.hyp.jsonl: runs/%/model.lm.safetensors
	$(ASR) transcribe $< data/$*/test.jsonl -o $@

include $(wildcard recipes/*/recipe.mk)

# Seeds of any recipe: models that differ in their seed, and a receipt of each in its folder. What differs from recipe
# to recipe stands in recipe.mk:
#   DATA_OF_NAME := OTHER           the corpus is that of another recipe
#   RUNS_OF_NAME := OTHER           so are the models; TEST_OF_NAME := MANIFEST is what they are measured on
#   WAYS_OF_NAME := lm phrases      receipts of more ways to decode than best path
#   OPTIONS_OF_NAME := --bleu       options of all receipts
SEEDS ?= 3
WAY_lm := --lm
WAY_phrases = --phrases $(PHRASES_OF_$(1))
test_of = $(or $(TEST_OF_$(1)),data/$(or $(DATA_OF_$(1)),$(1))/test.jsonl)

# Write a receipt for each way to decode: `$(call receipts,recipe,folder of the run,test manifest,name of the receipts)`.
receipts = mkdir -p recipes/$(1)/receipts; $(foreach way,best $(WAYS_OF_$(1)),$(ASR) receipt $(2) $(3) $(OPTIONS_OF_$(1)) \
  $(WAY_$(way)) -o recipes/$(1)/receipts/$(4)$(patsubst %,.%,$(filter-out best,$(way))).json;)

.SECONDEXPANSION:
%-seeds: recipes/%/config.yaml data/$$(or $$(DATA_OF_$$*),$$*)/train.jsonl | $(READY)
	$(ASR) train --overwrite $< --seeds $(SEEDS) --out runs/$@
	@for run in runs/$@/seed-*; do $(ASR) receipt "$$run" $(call test_of,$*) $(OPTIONS_OF_$*); done

%-receipts: $$(or $$(RUNS_OF_$$*),$$*)-seeds
	@for run in runs/$</seed-*; do $(call receipts,$*,"$$run",$(call test_of,$*),$${run##*/}) done
	.venv/bin/python recipes/tables.py

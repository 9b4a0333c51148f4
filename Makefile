# The work is in scripts/, so that it runs where make is missing too: bash scripts/setup.sh

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

setup:  ## make the environment .venv with napari-noisyseg, napari and the tests' tools
	@bash scripts/setup.sh

demo: setup  ## train on the sample images, predict and measure, in a few minutes
	@bash scripts/demo.sh

test: setup  ## style, types, floors, manifest and all tests
	@bash scripts/test.sh

lint: setup  ## style, types, floors and manifest only
	@bash scripts/lint.sh

clean:  ## remove the environment, the demonstration and what the tools left behind
	rm -rf .venv build dist demo *.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

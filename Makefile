# Needs GNU make, Python 3.10 or newer with venv and pip, and a C++ compiler.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The stamps name what is installed; a change of pyproject.toml installs again.
DEMO := $(VENV)/.installed-demo
DEV  := $(VENV)/.installed-dev

BENCHMARKS := $(filter-out benchmarks/machine.py benchmarks/agent_memory_frameworks.py benchmarks/soak%.py benchmarks/documents.py \
  benchmarks/compress.py benchmarks/finetune%.py benchmarks/sliding_layers.py benchmarks/clients.py benchmarks/gpu.py benchmarks/pdf_tables.py \
  benchmarks/llama_server_tests.py,$(wildcard benchmarks/*.py))

PLUGINS := langchain-longctx llm-longctx llama-index-llms-longctx longctx-smollm2-32k

.PHONY: help demo test test-thorough test-all test-gpu test-ray test-mcp frameworks plugins lint docs format bench soak soak-server tiny-model \
  finetune-demo clean

help:
	@echo "make demo      a model trained on 8,192 tokens reads 12,000, with and without scaling"
	@echo "make test      the quick tests; under five minutes on two cores"
	@echo "make test-thorough  the tests that walk whole tables, which make test leaves out; as long again"
	@echo "make test-all  all tests, the slow ones too"
	@echo "make test-gpu  the tests of caches, engine and conversations with all layers on the GPU; 4 minutes on 16 cores"
	@echo "make test-ray  install Ray, and test two replicas on it; under 3 minutes"
	@echo "make test-mcp  install the reference servers of MCP and its inspector, and test with them"
	@echo "make frameworks  install pydantic-ai, LangGraph and deepagents, and test them over the server"
	@echo "make plugins   install the plugins with what their tests need, and test them"
	@echo "make lint      ruff, mypy --strict, import contracts"
	@echo "make docs      the documentation as a site, in build/site"
	@echo "make format    let ruff rewrite"
	@echo "make bench     the benchmarks; docs/benchmarks.md says what each one measures"
	@echo "make soak      20 minutes of calls, cancellations, interrupts and reopenings; ARGS=--minutes 5"
	@echo "make soak-server  20 minutes of 16 clients at once of longctx serve, each answer checked"
	@echo "make tiny-model train the small model of the tests again; under an hour on two cores"
	@echo "make finetune-demo  teach the demo model 32,768 tokens; a day or more on two cores, Ctrl-C and again goes on"
	@echo "make clean     remove .venv, caches and build outputs"

# Options for the demo: make demo ARGS="--method yarn --question 'What is a coroutine?'", or
# ARGS=--quick, which takes ten seconds on the tiny model of the package.
demo: $(DEMO)
	$(BIN)/longctx demo $(ARGS)

# Processes that share the tests, a file to each at a time: a file's tests share their models.
WORKERS ?= 2

# Options for pytest: make test ARGS="tests/rope -k yarn"
test: $(DEV)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not slow and not thorough" $(ARGS)

# What CI runs beside `make test`: every family of models, template, schema, command and page.
test-thorough: $(DEV)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "thorough and not slow" $(ARGS)

test-all: $(DEV)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

# With whatever llama-cpp-python that Python has, a build for the GPU among them: nothing is installed
# and nothing downloaded. Layers go to the GPU by default, so these are the tests that all machines
# run. Each process has a context of its own on the GPU: make test-gpu GPU_WORKERS=4
GPU_PYTHON  ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
GPU_WORKERS ?= 8
GPU_TESTS   ?= tests/backends tests/cache tests/engine tests/llm tests/rope/test_against_llama_cpp.py \
  tests/planner/test_devices.py tests/planner/test_memory.py

test-gpu:
	OMP_WAIT_POLICY=passive PYTHONPATH=.:$$PYTHONPATH $(GPU_PYTHON) -m pytest -n $(GPU_WORKERS) --dist loadfile \
	  -m "not slow" --durations=5 --tb=short $(GPU_TESTS) $(ARGS)

# `make test` skips these where Ray is not installed, and runs them where it is.
test-ray: $(DEV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e ".[ray]"
	RAY_USAGE_STATS_ENABLED=0 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests/deploy $(ARGS)

# In environments of their own: one of them needs the SDK before 2, and some are of node.
MCP := build/mcp
MCP_NODE := server-everything server-filesystem server-memory inspector
test-mcp: $(DEV)
	$(PYTHON) -m venv $(MCP)/new
	$(MCP)/new/bin/python -m pip install --disable-pip-version-check --quiet mcp-server-fetch mcp-server-git
	$(PYTHON) -m venv $(MCP)/old
	$(MCP)/old/bin/python -m pip install --disable-pip-version-check --quiet "mcp<2" mcp-server-sqlite
	npm install --no-audit --no-fund --ignore-scripts --prefix $(MCP) \
	  $(addprefix @modelcontextprotocol/,$(MCP_NODE))
	LONGCTX_MCP_COMMANDS="$(CURDIR)/$(MCP)/node_modules/.bin:$(CURDIR)/$(MCP)/new/bin:$(CURDIR)/$(MCP)/old/bin" \
	  OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests/mcp/test_reference_servers.py $(ARGS)

# In an environment of their own, which sees what is in $(VENV).
FRAMEWORKS := build/frameworks
frameworks: $(DEV)
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	  > "$$($(FRAMEWORKS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/dev.pth"
	$(FRAMEWORKS)/bin/python -m pip install --disable-pip-version-check --quiet "pydantic-ai-slim[openai]" \
	  langchain langchain-openai langgraph langgraph-checkpoint-sqlite deepagents
	OMP_WAIT_POLICY=passive $(FRAMEWORKS)/bin/python -m pytest tests/server/test_frameworks.py $(ARGS)

# Each with its own configuration of pytest and mypy.
plugins: $(DEV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  $(foreach plugin,$(PLUGINS),-e "plugins/$(plugin)[test]")
	for plugin in $(PLUGINS); do \
	  (cd plugins/$$plugin && ../../$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
	    && ../../$(BIN)/mypy) || exit 1; \
	done

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV)
	@for script in $(BENCHMARKS); do echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" || exit 1; done

# One arena: glibc gives every new thread one of its own and keeps what is freed in it.
soak: $(DEV)
	MALLOC_ARENA_MAX=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/soak.py $(ARGS)

soak-server: $(DEV)
	MALLOC_ARENA_MAX=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/soak_server.py $(ARGS)

tiny-model: $(DEV)
	OMP_WAIT_POLICY=passive $(BIN)/python -m tools.train_tiny_model $(ARGS)

# Options: make finetune-demo ARGS="--budget 30min --target-ctx 16384"
finetune-demo: $(DEV)
	OMP_WAIT_POLICY=passive $(BIN)/longctx finetune --target-ctx 32768 --budget 4h \
	  --out build/finetune-demo $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	       .import_linter_cache
	find longctx tests benchmarks examples plugins -name __pycache__ -prune -exec rm -rf {} +

$(DEMO): EXTRAS := demo
$(DEV): EXTRAS := demo,dev
$(DEMO) $(DEV): pyproject.toml | $(BIN)/python
	@$(BIN)/python -c "import importlib.util as u, sys; sys.exit(u.find_spec('llama_cpp') is None)" \
	  || $(BIN)/python -c "import os; n = os.cpu_count() or 1; print('Installing; llama.cpp is built', \
	    f'from source: ten minutes of one core, so about {max(1, round(10 / n))} here ({n} cores).')"
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[$(EXTRAS)]"
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

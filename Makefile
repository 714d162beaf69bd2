# One word for each thing a developer does; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := build/stamps
PYTEST_ARGS ?=
LOADER ?= core
CMD ?=
NODES ?= 1
ALL_KERNELS := 5.10 6.1 6.12 sid 6.12-arm64

# clang, lld and llvm compile the programs, python3-bpfcc does so on the node, bpftool looks at them, gcc with its 32-bit half
# makes the workloads of the tests, bpftrace is what the benchmark compares with, runc and containerd start the containers
# that tests record from a busybox, iproute2 gives the network tests a loopback of their own, etcd and those after it are
# what a cluster takes beside Kubernetes, the last line is what makes and boots virtual machines.
PACKAGES := make python3-venv clang lld llvm clang-format libbpf-dev libbpf1 python3-bpfcc bpftool gcc gcc-multilib \
	libc6-dev-i386 liburing-dev bpftrace runc containerd busybox-static iproute2 \
	etcd-server openssl containernetworking-plugins iptables procps \
	qemu-system-x86 qemu-system-arm cpio e2fsprogs xz-utils zstd

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(STAMPS)/packages $(VENV)/.installed bpf ## Install what is missing: Debian packages, Python environment, BPF programs

$(STAMPS)/packages: Makefile
	@mkdir -p $(@D)
	@missing=(); for each in $(PACKAGES); do \
		[[ $$(dpkg-query -W -f '$${db:Status-Status}' "$$each" 2>/dev/null) == installed ]] || missing+=("$$each"); \
	done; \
	if (( $${#missing[@]} )); then \
		command -v apt-get >/dev/null || { echo "Not a Debian: install what these packages hold: $${missing[*]}" >&2; exit 1; }; \
		(( EUID == 0 )) || { echo "Missing: $${missing[*]}. Run make setup once as root to install them." >&2; exit 1; }; \
		echo "Installing $${missing[*]}"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq; \
		apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi
	@touch $@

$(VENV)/.installed: requirements/development.txt pyproject.toml | $(STAMPS)/packages
	@[[ -x $(BIN)/python ]] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: bpf
bpf: | $(STAMPS)/packages ## Compile the BPF programs
	@$(MAKE) -C bpf

.PHONY: debug
debug: bpf ## Compile the BPF programs with log lines, for podcorder record --trace and doctor --trace
	@$(MAKE) -C bpf debug

.PHONY: record
record: setup ## Record a shell, or CMD='...', and print its timeline (as root)
ifeq ($(CMD),)
	@$(BIN)/podcorder record
else
	@$(BIN)/podcorder record -- sh -c "$$CMD"
endif
export CMD

.PHONY: test
test: setup collector cluster root ## Run every test that CI runs (as root)
	@$(BIN)/python -m pytest tests --ignore=tests/machines/test_without_types.py $(PYTEST_ARGS)

.PHONY: test-unit
test-unit: setup ## Run the tests that need no root
	@$(BIN)/python -m pytest -m "not slow" tests --ignore=tests/bpf --ignore=tests/system --ignore=tests/collector \
		--ignore=tests/cluster --ignore=tests/machines $(PYTEST_ARGS)

.PHONY: test-system
test-system: setup root ## Run the tests on the real kernel, or LOADER=bcc (as root)
	@PODCORDER_TEST_LOADER=$(LOADER) $(BIN)/python -m pytest tests/bpf tests/system $(PYTEST_ARGS)

.PHONY: test-collector
test-collector: setup collector ## Run the tests against a real OpenTelemetry collector
	@$(BIN)/python -m pytest tests/collector $(PYTEST_ARGS)

.PHONY: test-cluster
test-cluster: setup cluster root ## Run the tests against a real Kubernetes (as root)
	@$(BIN)/python -m pytest tests/cluster $(PYTEST_ARGS)

.PHONY: test-kernels
test-kernels: setup root ## Run the tests on every kernel in virtual machines, or KERNELS='6.1 5.10' (as root)
	@status=0; rm -rf build/kernels; \
	KERNEL_TESTS="$${KERNEL_TESTS:-whole}" KERNELS="$${KERNELS:-$(ALL_KERNELS)}" $(BIN)/python -m pytest tests/machines $(PYTEST_ARGS) || status=$$?; \
	PYTHONPATH=tests:deploy $(BIN)/python -m machines.figures; $(BIN)/python docs/generate.py; exit $$status

.PHONY: test-mutations
test-mutations: setup ## Mutate a million journals (in CI: 100,000), or MUTATED_JOURNALS=...
	@MUTATED_JOURNALS=$${MUTATED_JOURNALS:-1000000} $(BIN)/python -m pytest tests/unit/interpreter/test_mutations.py $(PYTEST_ARGS)

.PHONY: root
root:
	@(( EUID == 0 )) || { echo "These tests load BPF programs: run them as root." >&2; exit 1; }

.PHONY: collector
collector: ## Build the OpenTelemetry collector for the tests, unless it is in the cache
	@tests/collector/build.sh >/dev/null

.PHONY: cluster
cluster: ## Build the Kubernetes commands for the tests, unless they are in the cache
	@tests/cluster/commands/build.sh >/dev/null

.PHONY: cluster-up
cluster-up: setup cluster ## Start a Kubernetes of one node, or NODES=0 without, and say how to reach it (as root)
	@PYTHONPATH=tests:deploy $(BIN)/python -m cluster up build/cluster --nodes $(NODES)

.PHONY: cluster-images
cluster-images: setup collector ## Bring the images of the quick start to the node of cluster-up (as root)
	@PYTHONPATH=tests:deploy $(BIN)/python -m cluster images build/cluster

.PHONY: cluster-down
cluster-down: ## End what cluster-up started
	@[[ ! -e build/cluster ]] || PYTHONPATH=tests:deploy $(BIN)/python -m cluster down build/cluster

.PHONY: images
images: setup ## Make the container images and their SBOMs, or ARCHITECTURES='amd64 arm64'
	@PYTHONPATH=deploy $(BIN)/python -m images $(if $(APT_SOURCES),--sources $(APT_SOURCES)) build \
		$(foreach architecture,$(ARCHITECTURES),--architecture $(architecture)) \
		$(foreach image,$(IMAGES),--image $(image))

.PHONY: pin-images
pin-images: setup ## Pin the images' Debian packages anew
	@PYTHONPATH=deploy $(BIN)/python -m images $(if $(APT_SOURCES),--sources $(APT_SOURCES)) pin

.PHONY: lint
lint: setup ## Check style, types, layers and generated files
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@clang-format --dry-run -Werror bpf/*.c bpf/*.h
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python crds/generate.py --check
	@PYTHONPATH=tests $(BIN)/python -m budget check

.PHONY: format
format: setup ## Put all code into its form
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@clang-format -i bpf/*.c bpf/*.h

.PHONY: generate
generate: setup ## Write the generated files anew
	@$(BIN)/python docs/generate.py
	@$(BIN)/python crds/generate.py

.PHONY: verifier-budget
verifier-budget: setup root ## Measure the programs anew, and acknowledge what they cost the verifier (as root)
	@PYTHONPATH=tests $(BIN)/python -m budget update
	@$(BIN)/python docs/generate.py

.PHONY: bench
bench: setup collector root ## Measure what recording costs (as root)
	@$(BIN)/python -m benchmarks

.PHONY: bench-node
bench-node: setup collector cluster root ## Measure the agent on a node with 110 pods (as root)
	@$(BIN)/python -m benchmarks.node

.PHONY: bench-operator
bench-operator: setup cluster root ## Measure the operator with 2,000 nodes (as root)
	@$(BIN)/python -m benchmarks.operator_scale

.PHONY: bench-admission
bench-admission: setup cluster root ## Measure what it costs an exec to be announced (as root)
	@$(BIN)/python -m benchmarks.admission

.PHONY: bench-sessions
bench-sessions: setup cluster root ## Measure the operator with 10,000 records of sessions (as root)
	@$(BIN)/python -m benchmarks.session_records

PIP_TOOLS := 7.6.2
PIP_COMPILE := env CUSTOM_COMPILE_COMMAND="make requirements" build/pip-tools/bin/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links
.PHONY: requirements
requirements: ## Pin the dependencies of pyproject.toml anew, with hashes
	@[[ -x build/pip-tools/bin/pip-compile ]] || $(PYTHON) -m venv build/pip-tools
	@build/pip-tools/bin/pip install --quiet --disable-pip-version-check pip-tools==$(PIP_TOOLS)
	@$(PIP_COMPILE) --build-deps-for editable --extra agent --extra grpc --extra operator --extra test \
		--output-file requirements/development.txt pyproject.toml
	@$(PIP_COMPILE) --constraint requirements/development.txt --extra agent --extra grpc \
		--output-file requirements/agent.txt pyproject.toml
	@$(PIP_COMPILE) --constraint requirements/development.txt --extra operator \
		--output-file requirements/operator.txt pyproject.toml

.PHONY: clean
clean: cluster-down ## Remove all that was built
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@$(MAKE) -C bpf clean
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

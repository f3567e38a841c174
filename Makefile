# The commands of this project. CI calls the same ones.

# Cargo is found also where rustup has just put it and no new shell was opened since.
export PATH := $(PATH):$(HOME)/.cargo/bin

# What a failed test says shall not be buried under how it came there: `make unit BACKTRACE=1` tells
# that too. It counts more than a RUST_BACKTRACE of the environment, which is often there for all.
BACKTRACE ?= 0
unit clients workers containers packaged browser: export RUST_BACKTRACE := $(BACKTRACE)

NEXTEST := $(shell cargo nextest --version 2>/dev/null)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build in release mode and start a service of simulated GPU workers
	@exec target/release/penstock run config/examples/quickstart.toml

.PHONY: build
build: tools ## Build the program in release mode
	cargo build --release --locked

.PHONY: test
test: tools lint unit doc deny ## Run every check that must pass

.PHONY: lint
lint: ## Check the form of the code
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: unit
unit: ## Run the tests, end to end ones included
ifdef NEXTEST
	cargo nextest run --workspace --locked --no-fail-fast
else
	cargo test --workspace --locked --no-fail-fast --lib --bins --tests
endif
	cargo test --workspace --locked --doc

.PHONY: doc
doc: ## Build the documentation; a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

.PHONY: deny
deny: tools ## Check licences, sources, layers and advisories of the dependencies
	@.ci/deny

.PHONY: clients
clients: build ## Try real clients, such as OpenAI's for Python, against the program
	tests/clients/run

.PHONY: browser
browser: build ## Try the console in Chromium against the program
	tests/browser/run

.PHONY: workers
workers: tools ## Try real inference servers: NVIDIA Triton and Ray Serve under the process driver
	tests/workers/run

.PHONY: containers
containers: build ## Try workers as containers of a real Docker engine, with a registry (needs root)
	tests/containers/run

.PHONY: package
package: build ## Make a Debian package in target/package
	config/package/build

.PHONY: packaged
packaged: package ## Install the package in a fresh Debian, and do there what a new user does (needs root)
	tests/package/run

.PHONY: bench
bench: tools ## Measure
	cargo bench --workspace --locked

.PHONY: fuzz
fuzz: ## Fuzz what reads bytes from outside, a minute each: FUZZ_SECONDS=60
	@fuzz/run

.PHONY: versus
versus: build ## Measure beside nginx, HAProxy and others (benches/versus/versus.py --help)
	benches/versus/versus.py

.PHONY: counts
counts: build ## Compare instructions, allocations and system calls with stored ones
	@.ci/build-tools valgrind=valgrind strace=strace openssl=openssl
	benches/versus/counts.py

.PHONY: fmt
fmt: ## Bring the code into form
	cargo fmt --all

.PHONY: tools
tools: ## Install what the build needs, or say what is missing
	@.ci/build-tools

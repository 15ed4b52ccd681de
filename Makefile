# make run, make test, make lint; `make` alone lists all targets.

TARGET := wasm32-wasip1
CARGO ?= cargo

# The demo's ports: make run PORT=10010 ADMIN_PORT=9911 (0 takes a free port).
PORT ?= 10000
ADMIN_PORT ?= 9901
export PORT ADMIN_PORT

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

.PHONY: test
test: wasm ## Run every test, those in a real Envoy included
	$(CARGO) test

.PHONY: soak
soak: wasm ## Watch the replay store's memory over many windows (two minutes; SOAK_WINDOWS, SOAK_RATE)
	$(CARGO) test --test e2e -- --ignored --nocapture memory_is_flat_over_many_windows

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

.PHONY: lint
lint: setup ## Check formatting, clippy (native and wasm) and documentation, warnings as errors
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

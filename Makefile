# `make help` says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build test demo demo-down bench bench-l2 bench-ovsdb bench-pools bench-start manifests fmt lint purity deny need-rust need-lab

# Where the usual installers put cargo and go.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# All of the workspace at once, always: with fewer packages selected, cargo would choose other
# features for what they share, and build it again.
ALL := --workspace --locked

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: need-rust need-lab ## Two tenants on real components in about 45 s; KEEP=1 leaves them up; MODE=vlan shows VLAN mode
	@case "$(MODE)" in ''|overlay) ;; vlan) test -z "$(KEEP)" || { echo "demo: KEEP=1 goes with MODE=overlay alone" >&2; exit 1; } ;; *) echo "demo: MODE is overlay or vlan" >&2; exit 1 ;; esac
	@$(CARGO) build $(ALL) --bins
	@$(TARGET)/debug/demo $(if $(filter vlan,$(MODE)),--vlan,$(if $(filter 1 yes true,$(KEEP)),--keep))

demo-down: need-rust ## Ends a demo that was left up
	@test -x $(TARGET)/debug/demo || { echo "demo: none was built here" >&2; exit 1; }
	@$(TARGET)/debug/demo --down

test: need-rust need-lab fmt lint purity ## Format, lints, purity, unit tests, doc tests, lab tests
	$(CARGO) build $(ALL) --all-targets
	$(CARGO) test $(ALL) --no-fail-fast

build: need-rust ## The optimised binaries: target/release/cpo and ccm-proxy
	$(CARGO) build --locked --release -p cpo -p ccm-proxy

bench: need-rust need-lab ## Measures on real components; prints a table
	@$(CARGO) build $(ALL) --release --bins
	@$(TARGET)/release/bench

bench-ovsdb: need-rust need-lab ## Measures the database client beside others
	@$(CARGO) build $(ALL) --release --bins
	@$(TARGET)/release/bench-ovsdb

bench-pools: need-rust ## Measures the allocator of addresses beside MetalLB's
	@$(CARGO) build $(ALL) --release --bins
	@$(TARGET)/release/bench-pools

bench-l2: need-rust need-lab ## Measures VLAN mode beside MetalLB
	@$(CARGO) build $(ALL) --release --bins
	@$(TARGET)/release/bench-l2

bench-start: need-rust need-lab ## Measures a start of cpo where 10,000 Services are right already
	@$(CARGO) build $(ALL) --release --bins
	@$(TARGET)/release/bench-start

manifests: need-rust ## Writes manifests/crds from the Rust types
	@$(CARGO) run -q --locked -p cpo -- crds --out manifests/crds

fmt: need-rust ## Checks the format of the code
	$(CARGO) fmt --all --check

lint: need-rust ## clippy; every warning is an error
	$(CARGO) clippy $(ALL) --all-targets -- -D warnings

purity: need-rust ## No runtime, socket or client below the pure crates
	@.ci/purity

deny: need-rust ## Licenses, bans and advisories (needs cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: cargo install cargo-deny" >&2; exit 1; }
	$(CARGO) deny check

need-rust:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install rustup; the version in rust-toolchain.toml comes by itself" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing (TLS has assembly): apt-get install gcc libc6-dev" >&2; exit 1; }

need-lab:
	@test "$$(id -u)" = 0 || { echo "the lab makes namespaces and needs root: run it as root, for example with sudo -E" >&2; exit 1; }
	@command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or later; the lab builds Kubernetes and Kube-OVN with it" >&2; exit 1; }

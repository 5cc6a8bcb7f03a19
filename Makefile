# One command for each thing that people do with this repository.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

HOST    := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := target/$(HOST)/release
# Builds static programs.
STATIC  := RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target $(HOST)
# The image that the lab and the stories use; name another to build it for a registry of yours.
IMAGE   ?= localhost/ferry:e2e
ARCHIVE ?= target/image/ferry.tar
LAB     := e2e/cluster/lab
# What `make fuzz` runs, for how long, and with which tool; a stable compiler will do.
TARGET     ?= frames
SECONDS    ?= 600
CARGO_FUZZ := 0.13.2
# What `make bench` runs: how often, which lines, who, and from which program; all where not said.
ROUNDS     ?= 5
# bash sets one of the same name.
LINES      :=
ONLY       ?=
PROGRAM    ?=
# The programs of the release build, for the stories and the demo.
E2E     := FERRY_E2E_PLUGIN=$(abspath $(RELEASE)/kubectl-ferry) $(RELEASE)/examples/e2e

##@ See it
demo: image up ## Show a pair's whole life on a real cluster, which is left up
	$(E2E) demo

up: ## Bring two Kubernetes clusters up on this machine
	$(LAB) up

down: ## Remove them, with all their data
	$(LAB) down

##@ Test it
test: ## Run every test there is; the last line is the count
	@e2e/run-tests

unit: ## Run the tests that need no cluster; without root, without those that need a device
	cargo test --workspace $(if $(filter-out 0,$(shell id -u)),-- --skip devices::)
	@[ "$$(id -u)" = 0 ] || echo "left out, since this is not root: tests/mover/devices (loop devices and FUSE)"

devices: ## Run the mover's tests on real devices and file systems; needs root
	cargo test --test mover -- devices::

crash-points: ## Replicate every state of a busy ext4 and xfs (POINTS=n for more); needs root
	FERRY_CRASH_POINTS=$(or $(POINTS),1000) cargo test --test mover -- crash_points:: --nocapture

sim: ## Live a pair's life under faults, by seed (SEEDS=n FIRST_SEED=s; SEED=s tells one)
	@$(STATIC) -p sim --example sim
	@$(RELEASE)/examples/sim $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),5000) --first-seed $(or $(FIRST_SEED),0))

wrong-rules: ## Break every rule in turn, and see that the simulator notices (SEEDS=n; ONLY=text)
	@$(STATIC) -p sim --example sim
	@$(RELEASE)/examples/sim --seeds $(or $(SEEDS),800) --wrong-rules $(ONLY)

fuzz: ## Look for inputs that break a decoder, guided by coverage (TARGET=frames SECONDS=600)
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz@$(CARGO_FUZZ)
	@mkdir -p target/fuzz/found/$(TARGET)
	@cp Cargo.lock fuzz/Cargo.lock
	RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $(TARGET) target/fuzz/found/$(TARGET) \
		fuzz/corpus/$(TARGET) -- -max_total_time=$(SECONDS) -max_len=65536 -rss_limit_mb=1024

stories: image up ## Run the user stories on the clusters (ONLY=name for one)
	$(E2E) stories $(if $(ONLY),--only '$(ONLY)')

bench-cluster: image up ## Measure cycles, switches and memory on the clusters, beside what users have today
	$(E2E) measure

bench: ## Measure Ferry beside its peers (ROUNDS=n LINES=a,b ONLY=a,b PROGRAM=file); needs root
	RUSTFLAGS='-C target-feature=+crt-static' cargo bench --target $(HOST) --bench peers -- --rounds $(ROUNDS) \
		$(if $(LINES),--lines $(LINES)) $(if $(ONLY),--only '$(ONLY)') $(if $(PROGRAM),--program $(PROGRAM))

lint: ## Check format, lints, chart and scripts
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	@e2e/lint

##@ Build it
build: ## Build the static programs
	$(STATIC) -p ferry -p kubectl-ferry --bins
	$(STATIC) -p ferry --example e2e
	$(STATIC) -p sim --example sim

image: build ## Make the image archive target/image/ferry.tar, without docker
	@! ldd $(RELEASE)/ferry 2>/dev/null | grep -q '=>' || { echo "$(RELEASE)/ferry is not static" >&2; exit 1; }
	@mkdir -p $(dir $(ARCHIVE))
	$(LAB) image --name $(IMAGE) --file '$(RELEASE)/ferry=>/ferry' --entrypoint /ferry --user 65532:65532 --out $(ARCHIVE)

generate: ## Write the files that are made from the code: the CRDs and the chart's copy
	cargo run --quiet --bin ferry -- crd --to crds
	cp crds/ferry.dev_*.yaml charts/ferry/files/crds/

help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo up down test unit devices crash-points sim wrong-rules fuzz stories bench bench-cluster lint build image generate help

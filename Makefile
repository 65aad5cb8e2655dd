# Each target makes sure of the tools that it needs: Rust comes with rustup, all else on Debian as root; elsewhere it says
# in one line what to install.

# Where rustup puts Rust, for a shell that was open before that.
rust_home := $(or $(CARGO_HOME),$(HOME)/.cargo)
export PATH := $(PATH):$(rust_home)/bin

# The policy that `make demo` shows: a name in envoy/systems.
SYSTEM ?= flokit

# As what Latchkey runs there: wasm, or module, the native module. Make has an AS of its own, the assembler, so only the
# command line counts.
ifneq ($(origin AS),command line)
AS := wasm
endif

target := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help tools wasm module cli test test-envoys differential mesh-tools mesh-test bench lint deny fuzz demo book envoy-image compose-files compose-test \
    release release-test clean

help:
	@echo 'make book           the documentation as a book, in dist/book'
	@echo 'make demo           a real Envoy lets in and refuses requests (SYSTEM=flokit, or another name in envoy/systems; AS=module)'
	@echo 'make test           every test, on the core, on the .wasm and on a real Envoy'
	@echo 'make test-envoys    the corpus on Envoy 1.39, 1.38, 1.37 and 1.36'
	@echo 'make differential   generated requests, judged by the core, on real servers: docs/differential.md'
	@echo 'make mesh-test      what render prints, on the real control planes of Istio and Envoy Gateway, as root'
	@echo 'make mesh-tools     those control planes, built from the Go module proxy, for ten minutes the first time'
	@echo 'make fuzz           any bytes as policies and as requests, SECONDS=10 for each'
	@echo 'make bench          what a request costs in Envoy, beside what others cost, into docs/benchmarks'
	@echo 'make lint           format, clippy and documentation, warnings being errors'
	@echo 'make deny           what the dependencies are allowed: licences, sources, advisories'
	@echo 'make wasm           the filter, at dist/latchkey.wasm'
	@echo 'make module         the native module, at dist/liblatchkey-VERSION.so, and for ARM at dist/arm64'
	@echo 'make cli            the command line, at dist/latchkey'
	@echo 'make release        what a release is made of, in dist/release: command lines, packages, image, bills of material'
	@echo 'make release-test   make release, looked at, and made once more under another path: both must be equal'
	@echo 'make tools          the Rust target, and Envoys at .tools/envoy, .tools/envoy-1.39 and .tools/envoy-1.38'
	@echo 'make compose-files  what envoy/docker-compose.yaml mounts, in dist/compose'
	@echo 'make compose-test   brings docker compose up, checks answers, takes it down'
	@echo 'make envoy-image    a local stand-in for the Envoy image, where images cannot be pulled'
	@echo 'make clean          removes what the targets made, the tools excepted'

tools:
	@envoy/install-tools rust envoy old-envoys

# The folder in which Cargo keeps the packages of crates.io.
crates_io := $(rust_home)/registry/src/index.crates.io-1949cf8c6b5b557f

# Neither build names a folder of the machine that made it.
remapped := --remap-path-prefix=$(rust_home)= --remap-path-prefix=$(crates_io)/=

# What the module uses of WebAssembly beyond its first version.
wasm_features := --enable-bulk-memory --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
    --enable-reference-types --enable-sign-ext

# The module works as Cargo makes it. This one names no folder of the machine that built it, exports only what
# filter/exports.json lists, since a proxy calls for every request what it finds, and is made smaller. Less is inlined, too: that
# is 17 KB for a twentieth of a request's instructions. The first kilobyte of memory is the far end of the stack, where
# no address of a value begins: what is added to one may go into the offset of its load.
wasm:
	@envoy/install-tools rust wasm-opt
	CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="$(remapped) -Cllvm-args=-inline-threshold=5" \
	    cargo build --target wasm32-wasip1 --release
	@mkdir -p dist
	@wasm-metadce $(wasm_features) --graph-file filter/exports.json \
	    $(target)/wasm32-wasip1/release/latchkey_filter.wasm -o dist/exports.wasm > dist/unused.txt
	wasm-opt --low-memory-unused --flatten --rereloop -Oz --flatten --rereloop -Oz -Oz --const-hoisting $(wasm_features) \
	    dist/exports.wasm -o dist/latchkey.wasm
	@rm dist/exports.wasm dist/unused.txt

# The oldest C library that the module runs on: Debian 10, Ubuntu 20.04, RHEL 8, and the images of Envoy.
glibc := 2.28
version := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)

module:
	@envoy/install-tools rust zig module
	module/build $(version) $(glibc) '$(remapped)'

cli:
	@envoy/install-tools rust
	cargo build --release -p latchkey-cli
	@mkdir -p dist
	@cp $(target)/release/latchkey dist/latchkey

# Tests and benchmarks are chosen out of the whole workspace: Cargo chooses features by the packages that it is asked for, and
# would build all that tests stand on anew for each choice.
test: tools wasm module
	@envoy/install-tools curl nginx node python3 recipes prometheus gitleaks mdbook
	@test -n "$$LATCHKEY_SKIP_BROWSER" || envoy/install-tools chromium
	cargo test --workspace
	LATCHKEY_AS=module cargo test --workspace --test envoy -- $(on_module)

# The tests of tests/envoy that are about what both hosts do.
on_module := bad_input:: bodies:: configuration:: held:: preflights:: push:: quota:: refusals:: requests:: responses:: \
    sessions:: trailers:: upgrades::

test-envoys: tools wasm
	@envoy/install-tools older-envoys
	for release in 1.39 1.38.2 1.37 1.36; do \
	    LATCHKEY_ENVOY=$$release cargo test --workspace --test envoy corpus:: -- --nocapture || exit 1; done

differential: tools wasm
	@envoy/install-tools rust node python3 ruby go java
	@envoy/install-tools httpd lighttpd nginx php rack
	cargo test --workspace --test differential -- --ignored --nocapture

# The control planes come from the Go module proxy, at the versions and sums of each go.mod and go.sum.
# Those say which Go, which a Go of 1.21 or newer fetches itself.
mesh-tools: export PATH := $(CURDIR)/.tools/go/bin:$(PATH)
mesh-tools: export GOTOOLCHAIN := auto
# One way for all, so that what they share is built once; and nothing for a debugger.
mesh-tools: export CGO_ENABLED := 0
mesh-tools: export GOFLAGS := -ldflags=-w -gcflags=all=-dwarf=false
mesh-tools:
	@envoy/install-tools go
	cd tests/mesh/istio && go test -c -o $(abspath $(target))/mesh/pilot .
	cd tests/mesh/envoy-gateway && go build -o $(abspath $(target))/mesh/envoy-gateway \
	    github.com/envoyproxy/gateway/cmd/envoy-gateway
	cd tests/mesh/envoy-gateway && go test -c -o $(abspath $(target))/mesh/crds ./crds
	cd tests/mesh/helm && go build -o $(abspath $(target))/mesh/helm helm.sh/helm/v3/cmd/helm
	cd tests/mesh/kustomize && go build -o $(abspath $(target))/mesh/kustomize sigs.k8s.io/kustomize/kustomize/v5

mesh-test: tools wasm module mesh-tools
	@envoy/install-tools iptables jq
	cargo test --workspace --test mesh -- --ignored --nocapture --test-threads=16

# How long each fuzz target runs.
SECONDS ?= 10

# What cargo-fuzz passes to a nightly compiler, as far as the stable one takes it: libFuzzer is led by coverage, and there
# is no address sanitizer, which code without `unsafe` does not need.
fuzz_flags := --cfg fuzzing -Cdebug-assertions=yes -Coverflow-checks=yes -Cpasses=sancov-module \
    $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares)
fuzz_target := x86_64-unknown-linux-gnu
ifeq ($(shell uname -m),aarch64)
fuzz_target := aarch64-unknown-linux-gnu
endif

# Each target begins with what fuzz/seeds has for it, `compile` with the five systems as well, and goes on from what earlier
# runs found, in fuzz/corpus.
fuzz:
	@envoy/install-tools rust c++
	RUSTFLAGS='$(fuzz_flags)' cargo build --release --manifest-path fuzz/Cargo.toml --target $(fuzz_target) \
	    --target-dir $(target)/fuzz
	@mkdir -p fuzz/corpus/compile fuzz/corpus/decide
	for system in flokit flora flotiq flowyte fluenzr; do \
	    cargo run -q -p latchkey-cli -- render envoy/systems/$$system.yaml --to json > fuzz/corpus/compile/$$system || exit 1; done
	for name in compile decide; do \
	    $(target)/fuzz/$(fuzz_target)/release/$$name -max_total_time=$(SECONDS) -max_len=16384 -print_final_stats=1 -verbosity=0 \
	        -artifact_prefix=$(target)/fuzz/ fuzz/corpus/$$name fuzz/seeds/$$name || exit 1; done

# Envoy and its client take turns on one core: let nothing else run meanwhile.
bench: tools wasm module
	@envoy/install-tools nginx
	cargo build --manifest-path benches/noop/Cargo.toml --target wasm32-wasip1 --release --target-dir $(target)/noop
	@cp $(target)/noop/wasm32-wasip1/release/noop.wasm dist/noop.wasm
	cargo bench --workspace --bench envoy $(addprefix --profile ,$(BENCH_PROFILE))

lint:
	@envoy/install-tools rust c++ actionlint
	.tools/actionlint
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fmt --manifest-path benches/noop/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --target wasm32-wasip1 -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir $(target)/fuzz -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# The database of advisories is on GitHub; where that cannot be reached, the rest is asked all the same.
deny:
	@envoy/install-tools rust cargo-deny
	.tools/cargo-deny --locked check licenses bans sources
	.tools/cargo-deny --locked --manifest-path fuzz/Cargo.toml --config deny.toml check bans sources
	@if git ls-remote -q https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then \
	    .tools/cargo-deny --locked check advisories; \
	else echo 'make deny: github.com cannot be reached, so no advisory was looked up' >&2; fi

book:
	@envoy/install-tools mdbook
	docs/build-book dist/book

demo: tools $(AS)
	@envoy/install-tools curl
	@envoy/demo $(SYSTEM) $(AS)

envoy-image: tools
	@envoy/install-tools docker
	envoy/build-image

# The bootstrap as in envoy/, but for the addresses: in a container only 0.0.0.0 can be published, which compose does on
# the machine's 127.0.0.1.
compose-files: wasm
	@mkdir -p dist/compose
	@cp dist/latchkey.wasm envoy/upstream.yaml dist/compose/
	cargo run -q -p latchkey-cli -- render envoy/systems/flokit.yaml --to ecds --wasm /etc/latchkey/latchkey.wasm > dist/compose/ecds.new
	@mv dist/compose/ecds.new dist/compose/ecds.yaml
	@sed -E 's/address: 127\.0\.0\.1, port_value: (10000|9901)/address: 0.0.0.0, port_value: \1/' envoy/envoy.yaml > dist/compose/envoy.yaml
	@chmod -R a+rX dist/compose

compose-test: compose-files
	envoy/compose-test

release: wasm module
	@envoy/install-tools rust zig release
	release/build

# Crates.io gets the core and the command line, which must build from what is packed of them. Cargo keeps what it has unpacked and
# built of a registry by its folder and the version: what an earlier run has left would stand for what is packed now.
release-test: release
	release/test
	@rm -rf $(rust_home)/registry/src/-*/latchkey-* $(target)/publish
	cargo publish --dry-run --quiet --locked --package latchkey --package latchkey-cli --target-dir $(target)/publish
	@rm -rf $(target)/publish

clean:
	rm -rf dist
	cargo clean

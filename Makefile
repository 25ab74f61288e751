# A fresh clone needs Go and Python with pip, which brings Envoy; make test also
# a C compiler, which the race detector and dex want, and npm, which brings buf
# and oidc-provider; make test-more also Maven and Java, for Keycloak.
MAKEFLAGS += --warn-undefined-variables
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Packages where goroutines meet; the race detector is too slow for all of them.
RACE := ./pkg/jwks ./pkg/authz ./pkg/audit ./pkg/extauthz
FUZZTIME ?= 60s

# with-tools puts the pinned tools first in PATH for the rest of a recipe line.
with-tools = bin=$$(tools/install.sh); export PATH="$$bin:$$PATH";

# Real parts for tests, by the directories of their install.sh.
PARTS := envoy pkg/authztest/stack/oidc tools/dex

.PHONY: help demo demo-up test test-more lint parts generate tools fuzz bench figures build clean
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

# exec: go run would die by a SIGTERM and leave all that the demo started.
demo: ## show the main job with a real Envoy, MCP servers and an MCP client
	@go build -buildvcs=false -o bin/cedargate-demo ./cmd/cedargate-demo && exec bin/cedargate-demo

demo-up: ## leave the parts of the demo running, with curl lines to paste
	@go build -buildvcs=false -o bin/cedargate-demo ./cmd/cedargate-demo && exec bin/cedargate-demo -up

# The parts come while lint runs, dex being the slow one; what goes wrong with
# them is said after it.
test: ## everything that CI runs: lint, race detector, all tests
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	  $(MAKE) --no-print-directory -s parts >"$$log" 2>&1 & parts=$$!; \
	  $(MAKE) --no-print-directory lint; \
	  wait $$parts || { cat "$$log" >&2; exit 1; }
	go test -race -vet=off $(RACE)
	go test -vet=off ./...

test-more: test ## test, the race detector everywhere, every Envoy version, Keycloak
	CEDARGATE_TEST_MORE=1 go test -race -vet=off -tags more ./...

lint: ## format, vet, staticcheck, buf, drift of generated code, go.mod
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted" >&2; exit 1; }
	go mod tidy -diff
	go vet -tags more ./...
	cd tools && go mod tidy -diff && go vet ./...
	@$(with-tools) set -x; staticcheck -tags more ./...; buf lint; buf format -d --exit-code
	@$(with-tools) tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	  set -x; buf generate -o "$$tmp"; \
	  diff -r -x '*.proto' "$$tmp/proto" proto; diff "$$tmp/docs/configuration.md" docs/configuration.md

generate: ## write generated code and docs/configuration.md anew
	@$(with-tools) set -x; buf format -w; buf generate

tools: ## build the pinned tools into the cache, print where
	@tools/install.sh

parts: ## install Envoy, oidc-provider and dex into the cache, for tests
	@for part in $(PARTS); do $$part/install.sh; done

fuzz: ## fuzz every target for FUZZTIME (60s)
	@grep -rho --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd pkg -H | sed 's,/[^/]*:func , ,' | \
	while read -r pkg target; do \
	  go test "./$$pkg" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s </dev/null; \
	done

bench: ## run the benchmarks six times and compare them within the run
	@$(with-tools) tmp=$$(mktemp); trap 'rm -f "$$tmp"' EXIT; \
	  go test -run '^$$' -bench . -benchmem -count 6 ./... | tee "$$tmp"; benchstat "$$tmp"

figures: ## lines of code and of tests for each package
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
	  code=$$(find "$$dir" -maxdepth 1 -name '*.go' ! -name '*_test.go' ! -name '*.pb.go' -exec cat {} + | wc -l); \
	  tests=$$(find "$$dir" -maxdepth 1 -name '*_test.go' -exec cat {} + | wc -l); \
	  printf '%6d code %6d tests  %s\n' "$$code" "$$tests" "$${dir#"$$PWD"/}"; \
	done

build: ## build bin/cedargate
	go build -trimpath -ldflags '-s -w' -o bin/cedargate ./cmd/cedargate

clean: ## remove what build made; caches stay
	rm -rf bin

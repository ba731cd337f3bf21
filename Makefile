# clinvk. `make` lists the targets.

GO          ?= go
BIN         := $(CURDIR)/bin
TOOLS       := $(CURDIR)/.bin
CLIS        := $(CURDIR)/test/clis/node_modules
CLIENTS     := $(CURDIR)/test/clients/node_modules
NODE_PLUGIN := $(CURDIR)/docs/examples/node-plugin
BACKENDS    := claude codex gemini echo
VERSION     ?= 0.1.0-dev
# Inputs for each fuzz target: all of them together take two minutes. A number of them, not a time: when a time runs out in
# mid-input the go command at times calls that a failure ("context deadline exceeded").
FUZZTIME    ?= 10000x
# The packages with the longest tests, the longest first: the go command starts packages
# in the order in which they are named, and one that is left for the end keeps all
# but one core idle. ./... adds the others.
LONG_TESTS  := ./test/e2e ./plugins/claude ./plugins/gemini ./host/supervisor ./test/clients ./test/isolation

PROTOC_GEN_GO      := v1.36.12
PROTOC_GEN_GO_GRPC := v1.6.2
BUF                := v1.75.0
GOLANGCI_LINT      := v2.14.0

export PATH := $(TOOLS):$(PATH)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build the server and its plugins into bin/
	@mkdir -p $(BIN) && chmod go-w $(BIN)
	@# the plugins first: the server knows them by their sha256
	@sha256() { { sha256sum "$$1" 2>/dev/null || shasum -a 256 "$$1"; } | cut -d ' ' -f 1; }; \
	bundled=; \
	for b in $(BACKENDS); do \
		echo "$(GO) build ./plugins/$$b"; \
		$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/clinvk-backend-$$b ./plugins/$$b || exit 1; \
		bundled="$$bundled$${bundled:+,}$$b=$$(sha256 $(BIN)/clinvk-backend-$$b)"; \
	done; \
	echo "$(GO) build ./cmd/clinvk"; \
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION) -X main.bundled=$$bundled" -o $(BIN)/clinvk ./cmd/clinvk

.PHONY: run
run: build ## Build everything and serve on http://127.0.0.1:8080 (ARGS="--port 9000")
	$(BIN)/clinvk serve --plugin-dir $(BIN) $(ARGS)

.PHONY: clis
clis: $(CLIS)/.installed ## Install the pinned AI CLIs for the tests into test/clis

$(CLIS)/.installed: test/clis/package.json test/clis/package-lock.json
	cd test/clis && (npm ci --no-audit --no-fund --ignore-scripts || npm install --no-audit --no-fund --ignore-scripts --no-save)
	@# the one install script that is needed: it puts the native program in place
	cd $(CLIS)/@anthropic-ai/claude-code && node install.cjs
	@touch $@

.PHONY: clients
clients: $(CLIENTS)/.installed ## Install the pinned SDKs and programs that the tests use as clients

$(CLIENTS)/.installed: test/clients/package.json test/clients/package-lock.json
	@# npm ci refuses a lock without builds for other platforms, which not every registry has
	cd test/clients && (npm ci --no-audit --no-fund --ignore-scripts || npm install --no-audit --no-fund --ignore-scripts --no-save)
	@# as above: it puts the native program in place
	cd $(CLIENTS)/opencode-ai && node postinstall.mjs
	@touch $@

.PHONY: node-plugin
node-plugin: $(NODE_PLUGIN)/node_modules/.installed ## Install what the example plugin in Node.js needs

$(NODE_PLUGIN)/node_modules/.installed: $(NODE_PLUGIN)/package.json $(NODE_PLUGIN)/package-lock.json
	cd $(NODE_PLUGIN) && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: test
test: build clis clients node-plugin ## Run all tests, those with the real CLIs too
	$(GO) test -timeout 20m $(LONG_TESTS) ./...

.PHONY: race
race: build clis clients node-plugin ## Run all tests with the race detector
	$(GO) test -race -timeout 40m $(LONG_TESTS) ./...

.PHONY: e2e
e2e: build clis clients node-plugin ## Run the end-to-end tests only
	$(GO) test -count=1 -timeout 20m ./test/...

.PHONY: clients-table
clients-table: build clis clients ## Write what clients were seen to do into docs/compatibility.md
	$(GO) test -count=1 ./test/clients -update

.PHONY: chaos
chaos: ## Run the long forms of the isolation tests (half an hour)
	CLINVK_CHAOS=1 $(GO) test -count=1 -timeout 2h -v ./test/isolation

.PHONY: bench
bench: build clis ## Measure against baselines and print the table of docs/benchmarks.md
	$(GO) run ./test/bench

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/buf ## Lint Go and proto
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/buf lint
	$(TOOLS)/buf format --diff --exit-code

.PHONY: vet-all
vet-all: ## Vet for Linux, macOS and Windows
	GOOS=linux $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...

.PHONY: generate
generate: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc ## Generate code from the contract
	$(TOOLS)/buf generate

.PHONY: proto-breaking
proto-breaking: $(TOOLS)/buf ## Check the contract against its committed image
	$(TOOLS)/buf breaking --against proto/clinvk/backend/v1.binpb

.PHONY: proto-image
proto-image: $(TOOLS)/buf ## Commit to the contract as it is now (releases only)
	$(TOOLS)/buf build -o proto/clinvk/backend/v1.binpb

.PHONY: fuzz-short
fuzz-short: ## Run each fuzz target with ten thousand inputs
	@for pkg in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | sed 's/func //'); do \
			echo "fuzz $$pkg $$target"; \
			$(GO) test $$pkg -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x || exit 1; \
		done; \
	done

.PHONY: cover
cover: build clis clients node-plugin ## Measure coverage
	$(GO) test -timeout 20m -coverprofile=cover.out $(LONG_TESTS) ./... && $(GO) tool cover -func=cover.out | tail -1

$(TOOLS)/protoc-gen-go:
	GOBIN=$(TOOLS) $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO)

$(TOOLS)/protoc-gen-go-grpc:
	GOBIN=$(TOOLS) $(GO) install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC)

$(TOOLS)/buf:
	GOBIN=$(TOOLS) $(GO) install github.com/bufbuild/buf/cmd/buf@$(BUF)

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)

MODULES := migrations shared api worker deployments
# The check of the Dockerfile needs large libraries, so it is a module of its own.
DOCKER  := deployments/docker/check
BIN     := $(CURDIR)/bin
LINT    := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# Programs under the race detector wait at their end for what other threads have to report, by default for a second each.
export GORACE ?= atexit_sleep_ms=10
# Tests of all modules run under the race detector, in a new order each time. It does not watch the inside of SQLite: that is
# C made into Go, has memory of its own, and would take most of the time. What go vet says is for make lint.
UNRACED := -gcflags=modernc.org/...=-race=false
TEST    := go test -race $(UNRACED) -vet=off -shuffle=on -timeout 12m
# What make verify tests is not tested twice.
VERIFIED := sluice/deployments/verify% sluice/deployments/e2e/compose sluice/deployments/cmd/release
# PACKAGES=./shared/store limits the tests to packages (the default is all others of all modules), RUN=I5 to names.
PACKAGES  = $(filter-out $(VERIFIED),$(shell go list work))
RUN      :=

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Programs are built as those of a release are, everywhere, so that their packages are compiled once.
BUILD := CGO_ENABLED=0 go build -trimpath

# What an old Go or none says of the workspace is hard to read, and so is what one says that cannot fetch modules.
NEED    := $(shell sed -n 's/^go //p' go.work)
OFFLINE := { GOPROXY=off go list -deps ./deployments/cmd/sluice >/dev/null 2>&1 || \
	echo 'make: Go modules are missing and cannot be fetched: connect to the network once, or set GOPROXY to a mirror.' >&2; exit 1; }

.PHONY: go
go:
	@have=$$(go env GOVERSION 2>/dev/null) || have=$$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || have='no Go'; \
	case $$have in go*) printf 'go%s\n%s\n' '$(NEED)' "$$have" | sort -V -C && exit ;; devel*) exit ;; esac; \
	echo "make: this needs Go $(NEED) or newer in PATH, and there is $$have: install it as go.dev/doc/install says." >&2; exit 1

.PHONY: run
run: go ## Build and start everything in one process
	@$(BUILD) -o $(BIN)/sluice ./deployments/cmd/sluice || $(OFFLINE)
	@exec $(BIN)/sluice up

.PHONY: build
build: go ## Build all programs into bin/
	$(BUILD) -o $(BIN)/ ./deployments/cmd/sluice ./api/cmd/api ./worker/cmd/worker ./migrations/cmd/migrate || $(OFFLINE)

PAGE := deployments/clients/page

.PHONY: page
page: ## Build the page that the API serves, after a change of its sources
	cd $(PAGE) && npm ci --no-audit --no-fund --ignore-scripts && npm run --silent check && npm run --silent build

.PHONY: test
test: $(BIN)/testenv ## Run all tests, installing and starting the servers they need
	$(BIN)/testenv -- $(TEST) $(if $(RUN),-run '$(RUN)') $(PACKAGES)

# FUZZTIME is how long each fuzz test looks for new cases. A short minimisation keeps it from trimming those it found instead.
FUZZTIME := 10s

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME (default 10s), one after the other, up to the first failure
	@set -e; for m in $(MODULES); do cd $(CURDIR)/$$m; \
		for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do \
			for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$p/*_test.go); do \
				echo "fuzz $$m $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x -parallel 1 $$p; \
			done; \
		done; \
	done

# RACE=-race builds the tests and the programs with the race detector.
RACE   :=
FAULTS := -faults.jobs=2000 -faults.rounds=5 -faults.load=40 -batch.lines=50000

.PHONY: faults
faults: $(BIN)/testenv ## Break everything under load and count what should not happen; see deployments/docs/guarantees.md
	@$(BIN)/testenv -- go test $(RACE) $(if $(RACE),$(UNRACED)) -count=1 -timeout 40m -run '^(TestFaults|TestBatch_I1_Struck)$$' -v ./deployments/e2e $(FAULTS)

.PHONY: test-cluster
test-cluster: $(BIN)/testenv ## Break clusters of NATS, Redis and PostgreSQL, and upgrade, under load; see deployments/docs/clusters.md
	$(BIN)/testenv -- $(TEST) -tags cluster -count=1 -p 1 -v -run '$(or $(RUN),^(TestQueue_(Cluster|Sentinel)$$|TestCluster_))' ./shared/queue ./deployments/e2e

.PHONY: servers
servers: $(BIN)/testenv ## Start the servers of the tests and print how to reach them
	@$(BIN)/testenv

.PHONY: bench
bench: $(BIN)/testenv ## Measure, on the all-in-one and on separate programs; see deployments/docs/bench.md
	@$(BIN)/testenv -- go run ./deployments/bench --results deployments/bench/results.md --json $(BIN)/bench.json

.PHONY: profile
profile: $(BIN)/testenv ## Profile the api and the worker under the load of two rows of the benchmark, into bin/profile
	@$(BIN)/testenv -- go run ./deployments/bench --only jobs,deltas --rounds 1 --profile $(BIN)/profile
	@for f in $(BIN)/profile/*-cpu.pb.gz; do echo; echo "$$f"; go tool pprof -top -nodecount 25 "$$f" 2>/dev/null; done
	@for f in $(BIN)/profile/*-allocs.pb.gz; do echo; echo "$$f"; go tool pprof -sample_index alloc_space -top -nodecount 25 "$$f" 2>/dev/null; done

.PHONY: microbench
microbench: $(BIN)/testenv ## Run every Go benchmark once, so that none rots
	@CGO_ENABLED=0 $(BIN)/testenv -- go test -trimpath -vet=off -run '^$$' -bench . -benchtime 1x $$(grep -rl --include='*_test.go' '^func Benchmark' $(MODULES) | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: lint
lint: ## Check style and module borders
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && $(LINT) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	@echo "lint $(DOCKER)" && cd $(DOCKER) && GOWORK=off $(LINT) run --config $(CURDIR)/.golangci.yml ./...

.PHONY: format
format: ## Format all code
	@for m in $(MODULES); do (cd $$m && $(LINT) fmt --config $(CURDIR)/.golangci.yml ./...) || exit 1; done

.PHONY: verify
verify: microbench $(BIN)/testenv ## Check go.mod files, each module by itself, every file in deployments, a release, and that benchmarks run
	@for m in $(MODULES) $(DOCKER); do echo "verify $$m"; (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off $(BUILD) ./...) || exit 1; done
	@echo "verify Dockerfile" && cd $(DOCKER) && GOWORK=off go test -count=1 -vet=off .
	@echo "verify compose.yml, systemd, k8s, release" && $(BIN)/testenv -- go test -count=1 -vet=off $(filter $(VERIFIED),$(shell go list work))

# VERSION is stamped into the programs of a release.
VERSION ?= $(shell git describe --tags --always --dirty)
DIST    := $(CURDIR)/dist

.PHONY: release
release: ## Build the archives of a release into dist/: VERSION (default: git describe), for each system, with checksums
	@go run ./deployments/cmd/release --version '$(VERSION)' --out $(DIST)

.PHONY: generate
generate: ## Write generated docs and golden files anew
	go test ./deployments/cmd/sluice ./deployments/e2e ./api -run "Docs|Reference" -update

.PHONY: clean
clean: ## Remove what was built; the data folder stays
	rm -rf $(BIN)

.PHONY: $(BIN)/testenv
$(BIN)/testenv: go
	@$(BUILD) -o $@ ./deployments/cmd/testenv || $(OFFLINE)

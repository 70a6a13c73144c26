# Two commands do all the set-up: `make demo` and `make test`.
GO ?= go
ARGS ?=
PACKAGES := ./...

.PHONY: build demo test race vet fmt lint bench fuzz clean setup

# Without debug information: a cold build is an eighth faster, the binary a third
# smaller, and stack traces are the same.
build: ## build bin/conductor: one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -gcflags=all=-dwarf=false -ldflags="-s -w" -o bin/conductor ./cmd/conductor

demo: build ## the whole story on this machine; ARGS=--once exits after it
	bin/conductor demo $(ARGS)

setup: ## install what the tests need, or say what to install
	sh test/setup.sh

test: setup ## every test
	$(GO) test $(PACKAGES)

race: setup
	$(GO) test -race $(PACKAGES)

vet:
	$(GO) vet $(PACKAGES)

fmt: ## fails when a file isn't formatted
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not formatted: $$bad"; exit 1; fi

lint:
	$(GO) tool staticcheck $(PACKAGES)

bench: build ## benchmarks, the peers' beside ours
	sh test/bench/run.sh

fuzz: ## each fuzz target for FUZZTIME (default 20s)
	sh test/fuzz.sh $(or $(FUZZTIME),20s)

clean:
	rm -rf bin .cache

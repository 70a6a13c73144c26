#!/bin/sh
# Benchmarks, each beside the peer it is compared with. conftest is built once, at
# a pinned version, into .cache/bin.
set -eu
cd "$(dirname "$0")/../.."
conftest=.cache/bin/conftest
if [ ! -x "$conftest" ]; then
	echo "building conftest v0.71.1 (once, a few minutes)" >&2
	mkdir -p .cache/bin
	GOBIN="$PWD/.cache/bin" go install github.com/open-policy-agent/conftest@v0.71.1
fi
CONFTEST="$PWD/$conftest" go test ./test/bench -run '^$' -bench . -benchtime 5x
go test ./manifests ./ledger ./reconcile/... ./bot/... -run '^$' -bench . -benchtime 1s

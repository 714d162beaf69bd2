#!/bin/sh
# Builds the OpenTelemetry collector that the tests use, unless it is in the cache already; prints its path.
# The cache lies outside the tree: $PODCORDER_CACHE, else $XDG_CACHE_HOME/podcorder, else ~/.cache/podcorder.
set -eu

version=0.158.0
here=$(cd "$(dirname "$0")" && pwd)
cache=${PODCORDER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podcorder}/collector
# The recipe is part of the name, so that a changed recipe is built anew.
recipe=$(cksum <"$here/builder.yaml" | cut -d' ' -f1)
binary=$cache/otelcol-$version-$recipe

if [ ! -x "$binary" ]; then
	command -v go >/dev/null || {
		echo "build.sh: the collector is built with Go: install Go 1.25 or newer" >&2
		exit 1
	}
	mkdir -p "$cache"
	# One build at a time; whoever waited finds the binary.
	exec 9>"$cache/lock"
	flock 9
	if [ ! -x "$binary" ]; then
		work=$(mktemp -d "$cache/build.XXXXXX")
		trap 'rm -rf "$work"' EXIT
		cp "$here/builder.yaml" "$work/"
		(cd "$work" && go run "go.opentelemetry.io/collector/cmd/builder@v$version" --config builder.yaml --ldflags "-s -w") >&2
		mv "$work/out/otelcol" "$binary"
	fi
fi
echo "$binary"

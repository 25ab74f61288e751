#!/bin/sh
# Prints the path of the OpenID provider dex; builds it on first use, and again
# when a pin changes. It wants a C compiler: dex brings SQLite. CEDARGATE_DEX
# names a binary of your own.
set -eu
if [ -n "${CEDARGATE_DEX:-}" ]; then
	echo "$CEDARGATE_DEX"
	exit 0
fi
cd "$(dirname "$0")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/cedargate/dex"
bin="$cache/$(cat go.mod go.sum | sha256sum | cut -c1-16)"
if [ ! -x "$bin" ]; then
	mkdir -p "$cache"
	tmp=$(mktemp "$cache/.new.XXXXXX")
	trap 'rm -f "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	CGO_ENABLED=1 go build -o "$tmp" github.com/dexidp/dex/cmd/dex >&2
	mv -f "$tmp" "$bin" # same file system: an atomic rename
fi
echo "$bin"

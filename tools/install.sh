#!/bin/sh
# Prints the directory of the pinned tools (buf, protoc-gen-go,
# protoc-gen-configdoc, staticcheck, benchstat); builds it on first use, and
# again when a pin changes. CEDARGATE_BUF names another buf.
set -eu
cd "$(dirname "$0")"
key=$(cat install.sh go.sum protoc-gen-configdoc/*.go buf/package-lock.json | sha256sum | cut -c1-16)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/cedargate/tools"
dir="$cache/$key"
if [ ! -d "$dir" ]; then
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/.new.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT INT TERM
  if [ -n "${CEDARGATE_BUF:-}" ]; then
    ln -s "$CEDARGATE_BUF" "$tmp/buf"
  elif [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
    cp buf/package.json buf/package-lock.json "$tmp"
    (cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    ln -s node_modules/@bufbuild/buf-linux-x64/bin/buf "$tmp/buf"
  else
    echo "no pinned buf for $(uname -sm): set CEDARGATE_BUF" >&2
    exit 1
  fi
  go build -o "$tmp/" tool ./protoc-gen-configdoc >&2
  # Two at once are fine: the second rename fails, and the first one's stays.
  mv -T "$tmp" "$dir" 2>/dev/null || [ -d "$dir" ]
fi
echo "$dir"

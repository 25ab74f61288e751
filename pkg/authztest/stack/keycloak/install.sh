#!/bin/sh
# Prints the directory of a verified Keycloak; installs it on first use: 176 MB
# by Maven. Maven, unzip and a Java from 17 on are wanted. CEDARGATE_KEYCLOAK
# names a directory of your own.
set -eu
if [ -n "${CEDARGATE_KEYCLOAK:-}" ]; then
	echo "$CEDARGATE_KEYCLOAK"
	exit 0
fi
ver=26.7.0
sum=e63bd0167199c0092b8a4d22cc137e6b7a70e0089070f6f7799b1be504b69a8a
cache="${XDG_CACHE_HOME:-$HOME/.cache}/cedargate/keycloak"
dir="$cache/$ver"
if [ ! -d "$dir" ]; then
	mkdir -p "$cache"
	tmp=$(mktemp -d "$cache/.new.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	# A repository of its own: what lies in the user's is not looked at.
	mvn -q dependency:get -Dmaven.repo.local="$tmp/m2" -Dtransitive=false \
		-Dartifact="org.keycloak:keycloak-quarkus-dist:$ver:zip" >&2
	zip="$tmp/m2/org/keycloak/keycloak-quarkus-dist/$ver/keycloak-quarkus-dist-$ver.zip"
	echo "$sum  $zip" | sha256sum -c - >&2
	unzip -q "$zip" -d "$tmp" >&2
	# An atomic rename. Whoever was faster has the same there.
	mv -T "$tmp/keycloak-$ver" "$dir" 2>/dev/null || [ -d "$dir" ]
fi
echo "$dir"

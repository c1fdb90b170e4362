#!/usr/bin/env bash
# What the libraries export: all that the headers declare, and nothing outside of our prefixes.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

shared=$top_builddir/.libs/libmuster.so
static=$top_builddir/.libs/libmuster.a
prefixes='^(participant_manager|proxy|participant|muster)_'

names() {
    nm --defined-only --extern-only --format=posix "$@" | awk 'NF > 2 { print $1 }' | sort -u
}

foreign() {
    names "$@" | grep -vE "$prefixes"
}

# Of the headers of what was built.
declared() {
    # shellcheck disable=SC2086 # this is a list
    (cd "$top_srcdir" && grep -hv '^#' ${public_headers:?is not set: run this through make check}) | tr '\n' ' ' |
        grep -oE 'MUSTER_API [^;{]*;' | sed -E 's/^[^(]*[ *]([a-z0-9_]+)\(.*/\1/' | sort -u
}

missing() {
    comm -23 <(declared) <(names "$@")
}

undeclared() {
    comm -13 <(declared) <(names -D "$shared")
}

if [[ ! -e $shared && ! -e $static ]]; then
    echo "no library was built"
    exit 77
fi
if [[ -e $shared ]]; then
    check "shared: no symbol outside of the prefixes" nothing foreign -D "$shared"
    check "shared: no symbol that no header declares" nothing undeclared
    check "shared: everything that the headers declare" nothing missing -D "$shared"
fi
if [[ -e $static ]]; then
    check "static: no symbol outside of the prefixes" nothing foreign "$static"
    check "static: everything that the headers declare" nothing missing "$static"
fi

exit "$failed"

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

# Where Debian's list differs from the headers of a library with all parts. (The fixture is for tests: Debian's has none.)
debian_differs() {
    local all
    all=$(cd "$top_srcdir" && find include -name '*.h' ! -name fixture.h)
    diff <(public_headers=$all declared) <(sed -n 's/^ \(.*\)@Base .*/\1/p' "$top_srcdir/debian/libmuster0.symbols" | sort -u)
}

check "debian/libmuster0.symbols lists what the headers declare" nothing debian_differs
if [[ ! -e $shared && ! -e $static ]]; then
    echo "no library was built"
    exit "$failed"
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

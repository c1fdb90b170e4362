#!/usr/bin/env bash
# Rules of the house that a search can see: who may know gRPC, no polling and no sleep, scripts that parse.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"
cd "$top_srcdir" || exit 1

sources() {
    find "$@" -name '*.[ch]' ! -path 'lib/network/*'
}

includes_grpc() {
    sources lib include examples | xargs grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]grpc'
}

waits_badly() {
    grep -rnE --include='*.[ch]' \
        '\b(poll|ppoll|select|pselect|epoll_wait|sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep|sched_yield|gpr_sleep_until)[[:space:]]*\(' lib
}

# The proxy's state machine is four files, and its state is changed in one.
knows_proxy() {
    grep -rlE '"proxy/internal\.h"' lib | grep -vE '^lib/proxy/(proxy|session|turn|answer)\.c$'
}

changes_state() {
    grep -rnE -- '->state = PROXY_' lib | grep -v '^lib/proxy/proxy\.c:'
}

# What is below the two sides knows neither, and the wire knows no link.
looks_up() {
    grep -nE '^#include "(proxy|participant|learning)/' lib/link/* lib/wire/* lib/network/*
    grep -nE '^#include "link/' lib/wire/* lib/network/*
    grep -nE '^#include "wire/' lib/network/*
}

scripts() {
    find run .ci examples bench tests -type f -exec grep -lE '^#!.*(/| )(ba)?sh$' {} +
}

parse() {
    scripts | while IFS= read -r script; do
        bash -n "$script"
    done
}

lint() {
    scripts | xargs shellcheck -x --severity=warning
}

check "only lib/network includes <grpc/...>" nothing includes_grpc
check "lower layers do not include higher ones" nothing looks_up
check "no poll and no sleep in lib/" nothing waits_badly
check "only the state machine knows the proxy from inside" nothing knows_proxy
check "only proxy.c changes a proxy's state" nothing changes_state
check "scripts parse" nothing parse
if command -v shellcheck >/dev/null; then
    check "scripts pass shellcheck" nothing lint
fi

exit "$failed"

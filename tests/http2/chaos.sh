#!/usr/bin/env bash
# Chaos over the HTTP/2 transport, with fewer rounds than over C-core.
# shellcheck source=tests/http2/common
. "${top_srcdir:?is not set: run this through make check}/tests/http2/common"

"$top_builddir/tests/fault/chaos" --rounds=8

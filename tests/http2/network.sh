#!/usr/bin/env bash
# Servers, participants, strangers and doors over the HTTP/2 transport. Most of these tests wait, so that many go at a time.
# shellcheck source=tests/http2/common
. "${top_srcdir:?is not set: run this through make check}/tests/http2/common"

"$top_builddir/tests/integration/network" --jobs 4

#!/usr/bin/env bash
# Vertical learning over the HTTP/2 transport, in a process and as processes.
# shellcheck source=tests/http2/common
. "${top_srcdir:?is not set: run this through make check}/tests/http2/common"

"$top_builddir/tests/vertical/grpc" && "$top_builddir/tests/vertical/processes"

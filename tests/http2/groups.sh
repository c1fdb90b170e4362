#!/usr/bin/env bash
# Groups over the HTTP/2 transport, with a played coordinator, with one, and as processes.
# shellcheck source=tests/http2/common
. "${top_srcdir:?is not set: run this through make check}/tests/http2/common"

"$top_builddir/tests/group/grpc" && "$top_builddir/tests/group/whole_grpc" && "$top_builddir/tests/group/processes"

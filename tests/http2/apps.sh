#!/usr/bin/env bash
# Participants of Debian's grpcio train at a server over the HTTP/2 transport, and a participant over it at servers of grpcio.
# shellcheck source=tests/http2/common
. "${top_srcdir:?is not set: run this through make check}/tests/http2/common"

"$top_srcdir/tests/apps/strangers.py" && "$top_srcdir/tests/apps/original.py"

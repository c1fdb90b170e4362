#!/usr/bin/env bash
# The conformance suite over MPI: of rank 0 with itself, beside a rank that answers nobody.
# shellcheck source=tests/mpi/common
. "${top_srcdir:?is not set: run this through make check}/tests/mpi/common"

mkfifo "$scratch/fifo"
export MUSTER_TEST_FIFO=$scratch/fifo
"${run_ranks[@]}" -n 1 "$top_builddir/tests/mpi/conformance" "$@" : \
    -n 1 "$top_builddir/tests/mpi/silent" "$scratch/fifo"

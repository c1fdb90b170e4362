#!/usr/bin/env bash
# A group whose members are the ranks of one MPI job, with the coordinator at rank 0.
# shellcheck source=tests/mpi/common
. "${top_srcdir:?is not set: run this through make check}/tests/mpi/common"

members=$top_builddir/tests/mpi/members
timeout --foreground 400 "${run_ranks[@]}" -n 1 "$members" mpi:0/coordinator 8 coordinate : \
    -n 7 "$members" mpi:0/coordinator 8

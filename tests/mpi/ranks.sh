#!/usr/bin/env bash
# Ranks in processes of their own: rounds with 7 participants, one that is stopped, and MPI's own beginning and end.
# shellcheck source=tests/mpi/common
. "${top_srcdir:?is not set: run this through make check}/tests/mpi/common"

ranks=$top_builddir/tests/mpi/ranks
failed=0

# check RANKS...: whether mpirun ends with 0; the program's own lines say what was tested.
check() {
    local output
    if output=$(timeout --foreground 400 "${run_ranks[@]}" "$@" 2>&1) && grep '^ok ' <<<"$output"; then
        return
    fi
    echo "not ok $*: it did not end with 0 in 400 s"
    printf '%s\n' "$output"
    failed=1
}

check -n 1 "$ranks" serve 7 : -n 7 "$ranks" take-part mpi:0
check -n 1 "$ranks" serve 3 own : -n 3 "$ranks" take-part mpi:0 own
check -n 1 "$ranks" serve-frozen : -n 1 "$ranks" take-part mpi:0/frozen
check -n 1 "$ranks" wait-for-all : -n 1 "$ranks" stay-away - own
check -n 1 "$ranks" end-mpi-first
check -n 1 "$ranks" one-thread
check -n 1 "$ranks" nobody

exit "$failed"

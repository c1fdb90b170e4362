#!/usr/bin/env bash
# Rules of the house that a search can see: layers, includes, dialect, no polling and no sleep, scripts that parse.
# Each rule prints what breaks it. At the end each is shown a tree that breaks it, and has to say so.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"
cd "$top_srcdir" || exit 1

code=(lib fixture include apps bench examples tests)

# grep in C sources: PATTERN FOLDER...
search() {
    local pattern=$1
    shift
    grep -rnE --include='*.[ch]' -e "$pattern" "$@"
}

# ---- layers ----

# Of a folder of lib/ which others it may include; all may include what lies in lib/ itself, which is ".". A public
# header belongs to the folder that keeps its promises, or to all.
breaks_layers() {
    search '^[[:space:]]*#[[:space:]]*include' lib | awk -F '[:"<>]' '
        BEGIN {
            below["."] = below["network"] = " "
            below["wire"] = " network "
            below["link"] = " network wire "
            below["participant"] = below["proxy"] = " network wire link "
            below["array"] = " wire "
            below["group"] = " network wire link participant proxy array "
            below["learning"] = " wire array "
            below["vertical"] = " wire array learning participant proxy "
            below["record"] = " "
            below["monitor"] = " participant proxy group "
            owner["participant.h"] = "participant"
            owner["proxy.h"] = owner["participant_manager.h"] = owner["statistics.h"] = "proxy"
            owner["coordinator.h"] = owner["group.h"] = "group"
            owner["mean.h"] = owner["npy.h"] = owner["npz.h"] = owner["privacy.h"] = owner["run.h"] = "learning"
            owner["strategy.h"] = owner["topology.h"] = "learning"
            owner["vertical.h"] = "vertical"
            owner["record.h"] = "record"
            owner["monitor.h"] = "monitor"
            owner["muster.h"] = "everything"
        }
        {
            folder = split($1, path, "/") > 2 ? path[2] : "."
            if (path[3] == "vertical")
                folder = path[3]
            other = split($4, path, "/") > 1 ? path[1] : "."
            if (other == "learning" && path[2] == "vertical")
                other = path[2]
            if (other == "muster")
                other = path[2] in owner ? owner[path[2]] : "."
            if (!(folder in below) && !asked[folder]++)
                print $1 ": which layers are below lib/" folder "? Say so in rules.sh"
            else if (folder in below && (other in below || other == "everything") && other != folder && other != "." &&
                     !index(below[folder], " " other " "))
                print $0
        }'
}

# A folder has one header for the others, its door: all else is its own business. link/ has one for each of its files,
# as it is there for both sides.
doors=' network/transport.h wire/wire.h array/arithmetic.h '

passes_a_door() {
    search '^[[:space:]]*#[[:space:]]*include "[a-z_]+/' lib | awk -F '[:"]' -v doors="$doors" '
        { split($1, file, "/"); split($4, included, "/") }
        file[2] != included[1] && included[1] != "link" && !index(doors, " " $4 " ")'
}

# Programs know the public headers, those of their own folder, and what those of apps/ share. A program of several folders
# includes by its own: apps/muster/server/ has "settings/settings.h". The program that judges others' participants sees the wire
# itself: of the library it has the transports, the messages and texts, and nothing above them.
reaches_into_the_library() {
    search '^[[:space:]]*#[[:space:]]*include "' apps bench examples |
        grep -vE '^apps/conformance/.*"(conformance/[a-z_]+\.h|network/(scheme|transport)\.h|link/service\.h|wire/wire\.h|text\.h|muster\.pb-c\.h)"' |
        while IFS= read -r found; do
            file=${found%%:*}
            included=${found#*\"}
            included=${included%\"*}
            own=${file#apps/}
            own=apps/${own%%/*}
            [[ -e ${file%/*}/$included || ($file == apps/*/* && -e $own/$included) ||
                ($file == apps/* && $included == common/* && -e apps/$included) ]] ||
                printf '%s\n' "$found"
        done
}

includes_grpc() {
    search '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]grpc/' lib include apps examples | grep -v '^lib/network/grpc'
}

includes_mpi() {
    search '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]mpi\.h' lib include apps examples | grep -v '^lib/network/mpi/'
}

# MPI waits by spinning. Its transport alone looks again and again, with pauses that grow; everywhere else somebody is
# woken by what happens.
blocks_in_mpi() {
    search '\bMPI_(Wait|Recv|Send|Ssend|Bsend|Rsend|Probe|Mprobe|Mrecv|Barrier|Bcast|(All)?[Rr]educe|(All)?[Gg]ather|Scatter|Alltoall|Comm_dup)(all|any|some|recv|v)?\(' lib
}

looks_again() {
    search '\bMPI_(I(m)?probe|Test(all|any|some)?)\(' lib | grep -v '^lib/network/mpi/'
}

# The proxy's state machine is four files, and its state is changed in one.
knows_proxy() {
    grep -rlE '"proxy/internal\.h"' lib | grep -vE '^lib/proxy/(proxy|session|turn|answer|statistics)\.c$'
}

changes_state() {
    search '->state = PROXY_' lib | grep -v '^lib/proxy/proxy\.c:'
}

goes_in_circles() {
    search '^[[:space:]]*#[[:space:]]*include' lib include | sed -nE 's/^(lib|include)\/([^:]*\.h):.*["<]([^">]*)[">].*/\2 \3/p' |
        { tsort >/dev/null; } 2>&1
}

# ---- dialect ----

sizeof_without_parentheses() {
    search '\bsizeof [^(]' "${code[@]}"
}

# Where a pointer becomes a bool that is kept, "!= NULL" says so.
compares_with_null() {
    search '== NULL\b|\b(if|while|for) \(.*!= NULL\b|(&&|\|\|) .*!= NULL\b|!= NULL\b.*(&&|\|\||\?)' "${code[@]}"
}

increments_in_front() {
    search '^[[:space:]]*(\+\+|--)[a-z]|\bfor \(.*; (\+\+|--)[a-z][^;]*\)' "${code[@]}"
}

# A statement within a statement has braces around it, a single one has none.
wrong_braces() {
    find "${code[@]}" -name '*.[ch]' -exec awk '
        FNR == 1 { first = second = "" }
        first ~ /^ *(if|for|while) \(.*\) \{$/ && second ~ /;$/ && /^ *\}$/ { print FILENAME ":" FNR - 2 ": " first }
        second ~ /^ *(if|for|while) \(.*\)$/ && /^ *(if|for|while) \(/ { print FILENAME ":" FNR - 1 ": " second }
        { first = second; second = $0 }' {} +
}

# A comment that begins on the line of its "/*" ends on the line of its last word.
dangles() {
    find "${code[@]}" -name '*.[ch]' -exec awk '
        /\/\*/ && !/\*\// { begun = /\/\*+ *[^* ]/ }
        /^ *\*\/$/ && begun { print FILENAME ":" FNR ": a comment that dangles" }
        /\*\// { begun = 0 }' {} +
}

# ---- the rest ----

waits_badly() {
    search '\b(poll|ppoll|select|pselect|epoll_wait|sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep|sched_yield|gpr_sleep_until)[[:space:]]*\(' lib |
        grep -vE '^lib/network/http2/(loop\.c:[0-9]*:.*epoll_wait\(loop|tend\.c:[0-9]*:.*epoll_wait\(tender)->epoll, '
}

scripts() {
    find run .ci apps bench docs/man examples packaging tests -type f -exec grep -lE '^#!.*(/| )(ba)?sh$' {} +
}

too_wide() {
    find python/*.py python/muster examples/python -name '*.py' -exec grep -nE '^.{121}' {} +
}

parse() {
    scripts | while IFS= read -r script; do
        bash -n "$script"
    done
}

lint() {
    scripts | xargs shellcheck -x --severity=warning
}

check "folders of lib/ include only those below them" nothing breaks_layers
check "each folder has one door" nothing passes_a_door
check "programs include nothing of lib/" nothing reaches_into_the_library
check "only the gRPC transport includes <grpc/...>" nothing includes_grpc
check "only the MPI transport includes <mpi.h>" nothing includes_mpi
check "nothing waits in MPI" nothing blocks_in_mpi
check "only the MPI transport asks MPI again and again" nothing looks_again
check "no circle of includes" nothing goes_in_circles
check "only the state machine knows the proxy from inside" nothing knows_proxy
check "only proxy.c changes a proxy's state" nothing changes_state
check "sizeof(x), not sizeof x" nothing sizeof_without_parentheses
check "!pointer, not pointer == NULL" nothing compares_with_null
check "i++, not ++i" nothing increments_in_front
check "braces around statements within statements, and none around single ones" nothing wrong_braces
check "no comment that dangles" nothing dangles
check "no poll and no sleep in lib/" nothing waits_badly
check "Python has at most 120 columns" nothing too_wide
check "scripts parse" nothing parse
if command -v shellcheck >/dev/null; then
    check "scripts pass shellcheck" nothing lint
fi

# ---- does each rule see what breaks it? ----

cp -r --parents run .ci docs/man packaging python "${code[@]}" "$scratch" && cd "$scratch" || exit 1
chmod -R u+w .

# sees RULE FILE TEXT: the rule prints something when the text is at the end of the file.
sees() {
    local rule=$1 file=$2 text=$3 found
    [[ ! -e $file ]] || cp "$file" kept
    printf '%s\n' "$text" >>"$file"
    found=$("$rule" 2>&1 | grep -c .)
    rm "$file"
    [[ ! -e kept ]] || mv kept "$file"
    ((found > 0)) && nothing "$rule"
}

check "seen: a layer above" sees breaks_layers lib/wire/wire.h '#include "proxy/internal.h"'
check "seen: a public header of a layer above" sees breaks_layers lib/network/buffer.c '#include <muster/proxy.h>'
check "seen: arithmetic that knows learning" sees breaks_layers lib/array/arithmetic.c '#include <muster/mean.h>'
check "seen: a neighbour" sees breaks_layers lib/participant/session.c '#include "proxy/internal.h"'
mkdir lib/unheard
check "seen: a folder that has no layer" sees breaks_layers lib/unheard/of.c '#include <stdio.h>'
check "seen: a header of wire that is not its door" sees passes_a_door lib/proxy/proxy.c '#include "wire/reader.h"'
check "seen: a header of network that is not its door" sees passes_a_door lib/link/hello.c '#include "network/buffer.h"'
check "seen: a program that includes the library's own" sees reaches_into_the_library apps/muster/demo/launch.c '#include "status.h"'
check "seen: a program that includes another's" sees reaches_into_the_library apps/common/log.c '#include "demo/launch.h"'
check "seen: a judge that includes what is above the wire" sees reaches_into_the_library apps/conformance/judge.c '#include "proxy/proxy.h"'
check "seen: <grpc/...> elsewhere" sees includes_grpc lib/network/transport.h '# include <grpc/grpc.h>'
check "seen: <mpi.h> elsewhere" sees includes_mpi lib/network/transport.h '#include <mpi.h>'
check "seen: a wait in MPI" sees blocks_in_mpi lib/network/mpi/parcel.c '    MPI_Waitall(1, &request, MPI_STATUS_IGNORE);'
check "seen: asking MPI elsewhere" sees looks_again lib/network/local.c '    MPI_Test(&request, &done, MPI_STATUS_IGNORE);'
check "seen: who knows the proxy from inside" sees knows_proxy lib/proxy/round.c '#include "proxy/internal.h"'
check "seen: a state that is changed elsewhere" sees changes_state lib/proxy/turn.c '    proxy->state = PROXY_OPEN;'
check "seen: a circle" sees goes_in_circles include/muster/status.h '#include <muster/muster.h>'
check "seen: sizeof x" sees sizeof_without_parentheses bench/role.c '    size_t size = sizeof *role;'
check "seen: == NULL" sees compares_with_null bench/role.c '    return role == NULL;'
check "seen: != NULL" sees compares_with_null tests/fuzz/data.c '    if (role != NULL)'
check "seen: ++i" sees increments_in_front apps/muster/demo/launch.c '    for (size_t i = 0; i < 1; ++i)'
check "seen: braces" sees wrong_braces bench/role.c $'    if (role) {\n        fail();\n    }'
check "seen: no braces" sees wrong_braces bench/role.c $'    while (role)\n        if (role)\n            fail();'
check "seen: a comment that dangles" sees dangles lib/status.h $'/* A long line that was made shorter once.\n */'
check "seen: a poll beside the loop's" sees waits_badly lib/network/http2/client.c '    epoll_wait(loop->epoll, events, 1, -1);'
check "seen: a second wait of a thread that tends" sees waits_badly lib/network/http2/tend.c '    epoll_wait(loop->epoll, events, 1, -1);'
check "seen: a sleep" sees waits_badly lib/status.c '    sleep(1);'
check "seen: 121 columns" sees too_wide python/muster/log.py "# $(printf '%119s' x)"
check "seen: a script that does not parse" sees parse run 'if'

exit "$failed"

#!/usr/bin/env bash
# The examples are built from what `make install` puts on a machine, with pkg-config alone. The numbered ones print what
# they say; the pair learns, as processes.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi

root=$scratch/root
library_path=$root$libdir
mkdir "$scratch/tls"

# is_short FILE LINES
is_short() {
    (($(wc -l <"$1") <= $2)) && ! grep -nE 'config\.h|^#include "' "$1"
}

build() {
    cp "$top_srcdir/examples/$1.c" "$scratch" && compile "$root" "$1"
}

# prints PROGRAM TEXT [ARGUMENT...]: what it prints, in any order of lines, is TEXT.
prints() {
    local program=$1 expected=$2
    shift 2
    run_shared "$scratch/$program" "$@" >"$scratch/output" || return
    diff <(sort <<<"$expected") <(sort "$scratch/output")
}

# The server on a free port and three participants. All end by themselves and well, and the accuracy has grown.
learns() {
    local line output server process participants=() number first last
    exec {output}< <(run_shared "$scratch/fedavg_server" --listen 127.0.0.1:0 --rounds 5)
    server=$!
    IFS= read -r line <&"$output" && [[ $line =~ port\ ([0-9]+) ]] || return
    for number in 1 2 3; do
        run_shared "$scratch/participant" --connect "127.0.0.1:${BASH_REMATCH[1]}" --number "$number" &
        participants+=($!)
    done
    cat <&"$output" | tee "$scratch/rounds"
    for process in "$server" "${participants[@]}"; do
        wait "$process" || return
    done
    first=$(sed -n 's/^round 0: 0 trained, 3 tested: .* accuracy //p' "$scratch/rounds")
    last=$(sed -n 's/^round 5: 2 trained, 3 tested: .* accuracy //p' "$scratch/rounds")
    [[ $first && $last ]] && awk "BEGIN { exit !($last > $first + 0.3) }"
}

# start VARIABLE PROGRAM [ARGUMENT...]: its output can be read from the descriptor in VARIABLE; $! is its process.
start() {
    local variable=$1 program=$scratch/$2
    shift 2
    exec {opened}< <(LD_LIBRARY_PATH=$library_path exec timeout 60 "$program" "$@" 2>&1)
    printf -v "$variable" %s "$opened"
}

# A signal ends each of them: a participant, which the server goes on without, and a server that waits for others.
end_at_a_signal() {
    local line from_server from_one from_two server one two
    start from_server fedavg_server --listen 127.0.0.1:0
    server=$!
    IFS= read -r line <&"$from_server" && [[ $line =~ port\ ([0-9]+) ]] || return
    start from_one participant --connect "127.0.0.1:${BASH_REMATCH[1]}" --name one
    one=$!
    start from_two participant --connect "127.0.0.1:${BASH_REMATCH[1]}" --name two
    two=$!
    grep -m 1 'one: connected' <&"$from_one" && grep -m 1 'two: connected' <&"$from_two" || return
    kill -TERM "$one"
    grep 'one: participant_close() was called' <&"$from_one" && ! wait "$one" || return
    kill -TERM "$server"
    grep 'ended before the last round: .* is stopping' <&"$from_server" && ! wait "$server" || return
    grep 'two: the server is stopping' <&"$from_two" && wait "$two"
}

# together PROGRAM FIRST JOIN TEXT NUMBER...: the first process gets the arguments FIRST and tells its port; for each number
# one joins it, with the arguments JOIN and the number. Without that line they print TEXT, in any order of lines.
together() {
    local program=$1 expected=$4 line output first number process processes=()
    local -a first_arguments join_arguments
    read -ra first_arguments <<<"$2"
    read -ra join_arguments <<<"$3"
    exec {output}< <(run_shared "$scratch/$program" "${first_arguments[0]}" 127.0.0.1:0 "${first_arguments[@]:1}")
    first=$!
    IFS= read -r line <&"$output" && [[ $line =~ port\ ([0-9]+) ]] || return
    : >"$scratch/joined"
    for number in "${@:5}"; do
        run_shared "$scratch/$program" join "127.0.0.1:${BASH_REMATCH[1]}" "${join_arguments[@]}" "$number" >>"$scratch/joined" &
        processes+=($!)
    done
    for process in "$first" "${processes[@]}"; do
        wait "$process" || return
    done
    diff <(sort <<<"$expected") <(cat <&"$output" - "$scratch/joined" | sed 's/rank [0-9]/rank N/' | sort)
}

# It is killed and finds its file again. A signal ends it, and well.
coordinates() {
    local line from
    start from group_coordinator --listen 127.0.0.1:0 --file "$scratch/groups"
    # It is the child of timeout, which would leave it behind.
    IFS= read -r line <&"$from" && [[ $line == "coordinating on port "* ]] && pkill -KILL -P "$!"
    wait "$!"
    [[ $(stat -c %a "$scratch/groups") == 600 ]] || return
    start from group_coordinator --listen 127.0.0.1:0 --file "$scratch/groups"
    IFS= read -r line <&"$from" && [[ $line == "coordinating on port "* ]] && kill -INT "$!" && wait "$!" || return
    echo "something else" >"$scratch/groups"
    start from group_coordinator --listen 127.0.0.1:0 --file "$scratch/groups"
    grep "group_coordinator: .*groups: this is not a coordinator's file" <&"$from" && ! wait "$!"
}

# learns_vertically [private]: a master and its two members, who print what each has learned.
learns_vertically() {
    local line output master number process members=()
    exec {output}< <(run_shared "$scratch/12_vertical_master" 127.0.0.1:0 2 "$@")
    master=$!
    IFS= read -r line <&"$output" && [[ $line =~ port\ ([0-9]+) ]] || return
    : >"$scratch/members"
    for number in 1 2; do
        run_shared "$scratch/12_vertical_member" "127.0.0.1:${BASH_REMATCH[1]}" "$number" >>"$scratch/members" &
        members+=($!)
    done
    cat <&"$output" >"$scratch/master"
    for process in "$master" "${members[@]}"; do
        wait "$process" || return
    done
    diff <(sort "$scratch/master" "$scratch/members") - <<'TEXT'
320 of 400 people are known to all
member 1 has learned that its column counts for it
member 2 has learned that its column counts for it
update 25: accuracy 1.00 on 80 people that are not trained on
update 50: accuracy 1.00 on 80 people that are not trained on
TEXT
}

# A wrong option gets the usage and status 2, --help the usage and 0.
explains_itself() {
    local option
    for option in --participants=0 --rounds=x --number=1x --unknown; do
        run_shared "$scratch/$1" "$option" >"$scratch/output" 2>&1
        (($? == 2)) && grep -qE '^usage: |expected a number' "$scratch/output" || return
    done
    run_shared "$scratch/$1" --help | grep -qx "usage: $1 \[OPTION\.\.\.\]"
}

# has PART: whether the library was built with it.
has() {
    [[ ${public_headers:?is not set: run this through make check} == *muster/$1.h* ]]
}

make_certificates() {
    bash "$top_srcdir/tests/integration/make_certificates" "$scratch/tls" && openssl rand -hex 16 >"$scratch/tls/token"
}

check "make install" install_into "$root"
check "certificates are made" make_certificates
for lesson in "$top_srcdir"/examples/[0-9]*.c; do
    name=$(basename "$lesson" .c)
    check "$name is short, and needs nothing of the tree" is_short "$lesson" 150
    [[ $name =~ _(record|monitor|vertical)(_|$) ]] && ! has "${BASH_REMATCH[1]}" || check "$name is built" build "$name"
done
for name in fedavg_server participant; do
    check "$name is short, and needs nothing of the tree" is_short "$top_srcdir/examples/$name.c" 200
    check "$name is built" build "$name"
    check "$name explains itself" explains_itself "$name"
done

check "group_coordinator is short, and needs nothing of the tree" is_short "$top_srcdir/examples/group_coordinator.c" 150
check "group_coordinator is built" build group_coordinator
check "group_coordinator explains itself" explains_itself group_coordinator
check "group_coordinator is killed, started again, and ended" coordinates

for name in from_one_server to_a_group; do
    check "$name is a page, and needs nothing of the tree" is_short "$top_srcdir/examples/$name.c" 90
    check "$name is built" build "$name"
done
check "from_one_server" together from_one_server "serve 3" "" "the weight is 2.000" 1 2 3
check "to_a_group" together to_a_group "coordinate 3 1" "3" "rank N of 3: the weight is 2.000
rank N of 3: the weight is 2.000
rank N of 3: the weight is 2.000" 2 3

check "the pair learns" learns
check "the pair ends at a signal" end_at_a_signal
check "01_first_round" prints 01_first_round 'the mean is 3 4 5'
check "02_k_of_n" prints 02_k_of_n '2 answered, 1 were not waited for
3 answered, 0 were not waited for
slow: nobody waits for this answer'
check "03_evaluation" prints 03_evaluation 'eve: 50 samples with an accuracy of 7
accuracy 0.75 on 400 samples'
check "04_own_messages" prints 04_own_messages 'description: {"memory": 16}
ada: the disk is full (code 28)
UNKNOWN_INSTRUCTION: ada: the participant does not know this kind of instruction'
check "05_different_instructions" prints 05_different_instructions '12 epochs in all'
check "06_asynchronous" prints 06_asynchronous '30 answers'
check "07_tls" prints 07_tls 'UNAUTHENTICATED: the server asks for a token: set its file (in other languages: send metadata '\''authorization: Bearer TOKEN'\'')
ada has answered over TLS' "$scratch/tls"
check "08_resume" prints 08_resume 'round 1: weight 0.5
round 2: weight 0.75
round 3: weight 0.875' "$scratch/run"
check "08_resume goes on" prints 08_resume 'round 4: weight 0.9375
round 5: weight 0.96875
round 6: weight 0.984375' "$scratch/run"
check "11_decentralized" prints 11_decentralized 'rank 0 has 1.371
rank 1 has 1.229
rank 2 has 1.771
rank 3 has 1.629
the mean is 1.500'
if has record; then
    check "09_record" prints 09_record 'weight 2.965' "csv:$scratch/scalars.csv" "tensorboard:$scratch/events"
    check "09_record has left a row for each round" grep -c '^20,' "$scratch/scalars.csv"
fi
if has vertical; then
    check "12_vertical" learns_vertically
    check "12_vertical, and nobody tells its people" learns_vertically private
fi
if has monitor; then
    check "10_monitor" prints 10_monitor 'round 1: loss 1.00
round 2: loss 0.50' 127.0.0.1:0 2
fi

exit "$failed"

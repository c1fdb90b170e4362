#!/usr/bin/env bash
# The numbered examples are built from what `make install` puts on a machine, with pkg-config alone, and print what
# they say.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi

root=$scratch/root
library_path=$root$libdir
mkdir "$scratch/tls"

is_short() {
    (($(wc -l <"$1") <= 150)) && ! grep -n 'config\.h' "$1"
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

make_certificates() {
    bash "$top_srcdir/tests/integration/make_certificates" "$scratch/tls" && openssl rand -hex 16 >"$scratch/tls/token"
}

check "make install" install_into "$root"
check "certificates are made" make_certificates
for lesson in "$top_srcdir"/examples/[0-9]*.c; do
    name=$(basename "$lesson" .c)
    check "$name is short, and needs nothing of the tree" is_short "$lesson"
    check "$name is built" build "$name"
done

check "01_first_round" prints 01_first_round 'the mean is 3 4 5'
check "02_k_of_n" prints 02_k_of_n '2 answered, 1 were not waited for
2 answered, 1 were not waited for
slow: nobody waits for this answer
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

exit "$failed"

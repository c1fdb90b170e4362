#!/usr/bin/env bash
# A program that was built against today's headers runs on the library of a later release, whose options have more
# fields: the programs of the README, on a library that is built here with grown structs. AddressSanitizer watches
# that it reads no more of the program's options than there is.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi

mkdir "$scratch/include" "$scratch/grown"
cp -r "$top_srcdir/include/muster" "$scratch/include/muster"
soname=$(readelf -d "$top_builddir/.libs/libmuster.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')

# Puts fields at the end of each options struct.
grow() {
    sed -i -E '/^struct [a-z_]+_options \{$/,/^\};$/ s/^\};$/    uint64_t grown[40];\n};/' "$scratch"/include/muster/*.h
    [[ $(cat "$scratch"/include/muster/*.h | grep -c 'uint64_t grown\[40\]') == \
        $(cat "$scratch"/include/muster/*.h | grep -cE '^struct [a-z_]+_options \{$') ]]
}

# Without records, the monitor, MPI, HTTP/2 by nghttp2, and a library without TLS: the programs do not use them, and libraries may be missing for them.
build_grown() {
    sed '/HAVE_MPI/d; /HAVE_HTTP2/d' "$top_builddir/config.h" >"$scratch/include/config.h"
    # shellcheck disable=SC2046 # these are lists of arguments
    $CC -std=c11 -w -g -fsanitize=address -fPIC -shared -Wl,-soname,"$soname" -o "$scratch/grown/$soname" \
        -I"$scratch/include" -I"$top_srcdir/lib" -I"$top_builddir/proto" \
        $(find "$top_srcdir/lib" '(' -name record -o -name monitor -o -name mpi -o -name http2 -o -name no_certificates.c ')' -prune -o -name '*.c' -print) \
        "$top_builddir"/proto/*.pb-c.c \
        $(pkg-config --cflags --libs grpc libprotobuf-c libcrypto libzip) -lm -lpthread
}

build_programs() {
    local program
    extract_programs
    for program in server participant; do
        $CC -std=c11 -g -fsanitize=address -I"$top_srcdir/include" -o "$scratch/$program" "$scratch/$program.c" \
            -L"$top_builddir/.libs" -lmuster || return
    done
}

check "the options of a later release have more fields" grow
check "its library is built" build_grown
check "programs are built against today's headers" build_programs
library_path=$scratch/grown
export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0
check "they run on the library of the later release" readme_round

exit "$failed"

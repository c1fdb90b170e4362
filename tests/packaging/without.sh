#!/usr/bin/env bash
# What a device gets that only takes part: a library without the server, without learning, without the record and without
# MPI and HTTP/2 by nghttp2, and so without libzip, jansson, libcurl, libmpi and nghttp2.
# The README's participant is built against it, and goes through a round with a server of the whole library.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi
if [[ -e $top_srcdir/config.status ]]; then
    echo "the source directory is configured, and takes no second build"
    exit 77
fi

build=$scratch/build
root=$scratch/root
library_path=$root$libdir
source_directory=$(realpath "$top_srcdir")

configure_without() {
    mkdir "$build" && cd "$build" &&
        "$source_directory/configure" -q --without-learning --without-server --libdir="$libdir" CC="$CC" CFLAGS=-O0
}

whole_headers() {
    (cd "$root" && find . -name '*.h' | grep -E '/(mean|monitor|npy|npz|record|run|topology|participant_manager|proxy)\.h$')
}

# Functions of what was left out.
whole_symbols() {
    nm -D --defined-only "$library_path/libmuster.so" | grep -E ' (muster_(mean|monitor|npy|npz|record|run|topology)|proxy|participant_manager)_'
}

# Of MPI, and of our transport over it; what a static library has too.
mpi_symbols() {
    nm "$library_path/libmuster.a" | grep -E ' (MPI_|ompi_|muster__mpi_)'
}

# The same of HTTP/2.
http2_symbols() {
    nm "$library_path/libmuster.a" | grep -E ' (nghttp2_|SSL_|muster__(http2|tls)_)'
}

pkg_config_more() {
    flags "$root" "$@" | grep -E 'zip|curl|jansson|microhttpd|mpi|nghttp2|ssl'
}

# What the participant is not built with is at the server: the whole library.
whole_server() {
    $CC -std=c11 "${warnings[@]}" -I"$top_srcdir/include" -o "$scratch/server" "$scratch/server.c" \
        -L"$top_builddir/.libs" -lmuster
}

extract_programs >"$scratch/programs"
check "configure --without-learning --without-server" configure_without
check "make" make_alone -C "$build" -s -j2
check "make install" install_into "$root" "$build"
check "no headers of what was left out" nothing whole_headers
check "no functions of what was left out" nothing whole_symbols
check "nothing of MPI" nothing mpi_symbols
check "nothing of HTTP/2 by nghttp2" nothing http2_symbols
check "the README's participant builds against it" compile "$root" participant
check "the library needs none of their libraries" nothing needs 'libzip\|libcurl\|libjansson\|libmicrohttpd\|libmpi\|libnghttp2' \
    "$library_path/libmuster.so"
check "pkg-config names none of them" nothing pkg_config_more
check "nor with --static" nothing pkg_config_more --static
rm -f "$library_path"/libmuster.so*
check "the participant builds with --static" compile "$root" participant --static
check "it needs neither libzip nor libmuster.so" nothing needs 'libzip\|libmuster' "$scratch/participant"
check "the README's server builds against the whole library" whole_server
library_path=$top_builddir/.libs
check "they run a round" readme_round

exit "$failed"

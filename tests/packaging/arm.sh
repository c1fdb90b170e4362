#!/usr/bin/env bash
# A participant alone on Arm, where a size_t has 32 bits: the library is cross-compiled as a user would do it, what is
# small stays small and plain C, and under qemu it takes turns with a server of the whole library over gRPC's C core.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

# In all, with nghttp2 and protobuf-c, without debugging symbols; libc not counted.
SIZE_MAX=$((500 * 1024))

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi
if [[ -e $top_srcdir/config.status ]]; then
    echo "the source directory is configured, and takes no second build"
    exit 77
fi

# The first of these that is whole: libraries that ./run fetched, Debian's cross compiler, and qemu.
triplet=
for candidate in "armhf arm-linux-gnueabihf arm" "arm64 aarch64-linux-gnu aarch64"; do
    read -r architecture triplet machine <<<"$candidate"
    libraries=$(realpath "$top_srcdir")/build/arm/$architecture
    if [[ -x $libraries/pkg-config ]] && command -v "$triplet-gcc" "qemu-$machine" >/dev/null; then
        break
    fi
    triplet=
done
if [[ -z $triplet ]]; then
    echo "no toolchain for Arm: './run test' installs it, and fetches build/arm, where Debian's archive can be reached"
    exit 77
fi

build=$scratch/build
source_directory=$(realpath "$top_srcdir")

configure_for_arm() {
    mkdir "$build" && cd "$build" &&
        "$source_directory/configure" -q --host="$triplet" --enable-participant-only --without-tls --disable-shared \
            --enable-werror PKG_CONFIG="$libraries/pkg-config" CC="${ccache[*]} $triplet-gcc"
}

# link_for_arm PROGRAM FILE...
link_for_arm() {
    # shellcheck disable=SC2046 # these are lists of arguments
    "${ccache[@]}" "$triplet-gcc" -std=c11 "${warnings[@]}" -Os -o "$scratch/$1" -I"$top_srcdir/include" "${@:2}" \
        "$build/.libs/libmuster-participant.a" \
        $("$libraries/pkg-config" --cflags --libs --static libnghttp2 libprotobuf-c | sed 's/-l\(nghttp2\|protobuf-c\)/-l:lib\1.a/g') \
        -Wl,--as-needed,--gc-sections -lpthread -lm -s
}

is_small() {
    (($(stat -c %s "$scratch/participant") <= SIZE_MAX))
}

libraries_beside_libc() {
    "$triplet-readelf" -d "$scratch/participant" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        grep -vE '^(libc\.so\.6|ld-linux.*)$'
}

# Functions whose times have 32 bits, where glibc has others.
times_until_2038() {
    [[ $architecture == arm64 ]] ||
        "$triplet-nm" "$build/.libs/libmuster-participant.a" | grep -E ' U (clock_gettime|gmtime_r|stat|time|timegm)$'
}

# Tests of what the bytes mean, where a size has fewer of them.
wire_tests=(array codec codec_refused copy link reader text transfer values)

build_wire_tests() {
    local sources=("${wire_tests[@]/#/$top_srcdir/tests/unit/test_}")
    link_for_arm wire "${sources[@]/%/.c}" "$top_srcdir/tests/unit/codec.c" -O0 -w -D_GNU_SOURCE -I"$build" -I"$build/proto" \
        -I"$top_srcdir/lib" -I"$top_srcdir/tests" -I"$top_srcdir/tests/support/plain"
}

run_for_arm() {
    timeout 300 "qemu-$machine" -L "/usr/$triplet" "$@"
}

# The server is the whole library's.
build_server() {
    # shellcheck disable=SC2086 # a compiler and its arguments
    $CC -std=c11 "${warnings[@]}" -D_GNU_SOURCE -I"$top_srcdir/include" -I"$top_srcdir/tests" -I"$top_builddir" \
        -o "$scratch/server" "$top_srcdir/tests/arm/server.c" "$top_srcdir"/tests/support/{relay,now}.c \
        -L"$top_builddir/.libs" -lmuster -lpthread
}

# The server takes a free port and says which; it ends when all its turns have ended.
take_turns() {
    local address output process participant=0
    exec {output}< <(LD_LIBRARY_PATH=$top_builddir/.libs timeout 300 "$scratch/server")
    process=$!
    IFS= read -r address <&"$output" && [[ $address == 127.0.0.1:* ]] || return
    run_for_arm "$scratch/participant" "$address" || participant=$?
    cat <&"$output"
    wait "$process" && ((participant == 0))
}

is_as_the_protocol_says() {
    timeout 300 "$judge" participant -- "qemu-$machine" -L "/usr/$triplet" "$scratch/participant" '{address}'
}

judge=$top_builddir/apps/conformance/muster_conformance
ccache=()
if command -v ccache >/dev/null; then
    ccache=(ccache)
fi
check "configure --host=$triplet --enable-participant-only" configure_for_arm
check "make, without a warning" make_alone -C "$build" -s -j2
check "a participant builds with it" link_for_arm participant "$top_srcdir/tests/arm/participant.c"
echo "$(stat -c %s "$scratch/participant") bytes on $architecture"
check "these are at most $SIZE_MAX" is_small
check "it needs libc and nothing else" nothing libraries_beside_libc
check "its times go beyond 2038" nothing times_until_2038
check "tests of the wire build" build_wire_tests
check "they pass" run_for_arm "$scratch/wire"
check "a server builds with the whole library" build_server
check "they take turns, across connections that break" take_turns
if [[ -e $judge ]]; then
    check "muster_conformance finds no fault" is_as_the_protocol_says
fi

exit "$failed"

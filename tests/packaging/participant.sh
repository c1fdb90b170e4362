#!/usr/bin/env bash
# A participant by itself: libmuster-participant is built without TLS and installed, and programs are built against it with
# pkg-config alone. They train with servers of the whole library over both transports; they are small, and need neither gRPC
# nor C++ nor OpenSSL. Then the same with TLS.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"
# shellcheck source=tests/packaging/alone
. "$top_srcdir/tests/packaging/alone"

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi
if [[ -e $top_srcdir/config.status ]]; then
    echo "the source directory is configured, and takes no second build"
    exit 77
fi

size_most=$((500 << 10))
idle_most=$((2 << 10)) # KiB
foreign='libgrpc|libgpr|libstdc\+\+|libssl|libcrypto|libzip|libcurl|libjansson|libmuster\.so'
build=$scratch/build
root=$scratch/root
library=$root$libdir/libmuster-participant.so

# ---- what is installed ----

wrong_headers() {
    diff <(printf '%s\n' credentials.h export.h label.h message.h muster.h participant.h random.h status.h traffic.h) \
        <(cd "$(dirname "$(find "$root" -name participant.h)")" && printf '%s\n' *.h)
}

headers_compile() {
    local header
    for header in "$(dirname "$(find "$root" -name participant.h)")"/*.h; do
        # shellcheck disable=SC2046 # a list of arguments
        printf '#include <muster/%s>\nint main(void) { return 0; }\n' "$(basename "$header")" |
            $CC -std=c11 "${warnings[@]}" $(alone_flags "$root") -fsyntax-only -x c - || return
    done
}

# Functions that no header of the installed declares, and those that are missing.
wrong_symbols() {
    diff <(cat "$(dirname "$(find "$root" -name participant.h)")"/*.h | grep -v '^#' | tr '\n' ' ' | grep -oE 'MUSTER_API [^;{]*;' |
        sed -E 's/^[^(]*[ *]([a-z0-9_]+)\(.*/\1/' | sort -u) \
        <(nm -D --defined-only --format=posix "$library" | awk '{ print $1 }' | sort -u)
}

pkg_config_more() {
    alone_flags "$root" --static | grep -E 'grpc|gpr|stdc|ssl|crypto|zip|curl'
}

# build_program SOURCE PROGRAM [--static]: with --static, muster, nghttp2 and protobuf-c become a part of the program.
build_program() {
    local source=$1 program=$2 found
    shift 2
    found=$(alone_flags "$root" "$@") || return
    (($# == 0)) || found="-Wl,--gc-sections -Wl,-Bstatic ${found//-lpthread/-Wl,-Bdynamic -lpthread}"
    # shellcheck disable=SC2086 # a list of arguments
    $CC -std=c11 -O2 "${warnings[@]}" -o "$program" "$source" $found -lpthread -lm
}

needs_more() {
    LD_LIBRARY_PATH=${library%/*} ldd "$@" | grep -E "$foreign"
}

# The library, and those of the two that it needs.
libraries() {
    echo "$library"
    ldd "$library" | awk '$1 ~ /^lib(nghttp2|protobuf-c)\./ { print $3 }'
}

# are_small FILE...: stripped, all together.
are_small() {
    local file size all=0
    for file in "$@"; do
        strip -o "$scratch/stripped" "$file" && size=$(stat -c %s "$scratch/stripped") || return
        echo "$file: $size bytes"
        all=$((all + size))
    done
    echo "all: $all bytes, at most $size_most"
    ((all <= size_most))
}

shared_is_small() {
    local files
    mapfile -t files < <(libraries)
    ((${#files[@]} == 3)) && are_small "${files[@]}"
}

# ---- what it does ----

# A server of the whole library, with TLS if there are two more arguments: ten turns with one participant, which then waits
# until the server's input ends.
cat >"$scratch/turns.c" <<'C'
#include <muster/muster.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct proxy **proxies;
    size_t count;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = argv[1];
    if (argc > 3) {
        options.credentials.certificate = argv[2];
        options.credentials.key = argv[3];
    }
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    printf("listening on port %u\n", (unsigned)participant_manager_port(manager));
    fflush(stdout);
    enum muster_status status =
        participant_manager_get_participants(manager, 1, 100000, &proxies, &count, &error);
    for (int turn = 0; turn < 10 && status == MUSTER_OK; turn++) {
        const float weights[256] = {0};
        const struct muster_array array = {MUSTER_FLOAT32, 1, {256}, weights};
        const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
        struct muster_message answer;
        status = proxy_run(proxies[0], &instruction, 100000, &answer, &error);
        muster_message_clear(&answer);
    }
    if (status != MUSTER_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    printf("done\n");
    fflush(stdout);
    getchar();
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    return 0;
}
C

# A participant, with TLS if there is a CA file, or a word to ask for TLS without one.
cat >"$scratch/taker.c" <<'C'
#include <muster/muster.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.connect_timeout_ms = 100000;
    if (argc > 2 && strcmp(argv[2], "tls") == 0)
        options.credentials.tls = true;
    else if (argc > 2)
        options.credentials.ca = argv[2];
    if (participant_connect(argv[1], &options, &participant, &error) != MUSTER_OK)
        return printf("%s: %s\n", muster_status_name(error.status), error.text), 1;
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
    participant_free(participant);
    return error.status != MUSTER_STOPPED;
}
C

# says EXPECTED ADDRESS [CA]: the taker cannot connect, and says why, in words that EXPECTED is a pattern for.
says() {
    local expected=$1 said
    shift
    said=$(LD_LIBRARY_PATH=${library%/*} timeout "$alone_limit" "$scratch/taker" "$@")
    echo "$said"
    # shellcheck disable=SC2053 # it is a pattern
    [[ $said == $expected ]]
}

# KiB of a process that are in memory, of all that is not libc's.
resident() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { counts = $6 !~ /\/(ld-linux[^\/]*|libc|libm|libpthread)[.-]/ }
         /^Rss:/ && counts { sum += $2 } END { print sum }' "/proc/$1/smaps"
}

# turns CHECK ADDRESS-PREFIX CREDENTIALS...: ten turns of the taker with the server, and then CHECK with the taker's process.
# The credentials are a CA, a certificate and a key.
turns() {
    local inspect=$1 prefix=$2 line taker server from to
    shift 2
    mkfifo "$scratch/to" && exec {from}< <(exec {from}<"$scratch/to" && unset MUSTER_NETWORK &&
        LD_LIBRARY_PATH=$top_builddir/.libs exec timeout "$alone_limit" "$scratch/turns" "${prefix}127.0.0.1:0" "${@:2}" <&"$from" 2>&1)
    server=$!
    exec {to}>"$scratch/to" && rm "$scratch/to"
    IFS= read -r line <&"$from" && [[ $line =~ port\ ([0-9]+) ]] || return
    LD_LIBRARY_PATH=${library%/*} "$scratch/taker" "127.0.0.1:${BASH_REMATCH[1]}" "${@:1:1}" {to}>&- &
    taker=$!
    IFS= read -r line <&"$from" && [[ $line == "done" ]] && "$inspect" "$taker"
    local result=$?
    exec {to}>&-
    if ! wait "$server"; then
        kill "$taker"
        return 1
    fi
    wait "$taker" && return "$result"
}

is_idle() {
    local kib
    kib=$(resident "$1")
    echo "$kib KiB, at most $idle_most"
    grep -E '^(Rss|Pss|Private_Dirty):' "/proc/$1/smaps_rollup"
    ((kib > 0 && kib <= idle_most))
}

build_turns() {
    $CC -std=c11 "${warnings[@]}" -I"$top_srcdir/include" -o "$scratch/turns" "$scratch/turns.c" -L"$top_builddir/.libs" -lmuster
}

# The same folder: what TLS changes is compiled, and all else is there.
with_tls() {
    build_alone "$build" CC="$CC" CFLAGS=-O2 && make_alone -s install DESTDIR="$root"
}

make_certificate() {
    mkdir "$scratch/tls" && "$top_srcdir/tests/integration/make_certificates" "$scratch/tls"
}

check "a server of the whole library" build_server
check "configure --enable-participant-only --without-tls, and make" build_alone "$build" --without-tls CC="$CC" CFLAGS=-O2
check "make install" make_alone -C "$build" -s install DESTDIR="$root"
check "the headers are those of a participant" nothing wrong_headers
check "each compiles alone" headers_compile
check "the library exports what they declare" nothing wrong_symbols
check "pkg-config names nothing of gRPC and OpenSSL" nothing pkg_config_more
check "examples/participant.c builds with pkg-config" build_program "$alone_source/examples/participant.c" "$scratch/participant"
check "and with pkg-config --static" build_program "$alone_source/examples/participant.c" "$scratch/participant_static" --static
check "they need neither gRPC nor C++ nor OpenSSL" nothing needs_more "$library" "$scratch/participant" "$scratch/participant_static"
check "the libraries are small" shared_is_small
check "the static program is small" are_small "$scratch/participant_static"
check "it trains with a server on C-core" train_alone 127.0.0.1:0 127.0.0.1 env LD_LIBRARY_PATH="${library%/*}" "$scratch/participant"
check "the static one trains with a server on HTTP/2" train_alone http2+127.0.0.1:0 http2+127.0.0.1 "$scratch/participant_static"
check "a participant that counts" build_program "$scratch/taker.c" "$scratch/taker"
check "a server of turns" build_turns
check "a participant that waits takes little memory" turns is_idle ""
there_is="there is http2+host:port or host:port or \[v6\]:port"
check "local: has no transport" says "UNSUPPORTED: 'local:here': this muster was built without the transport of local:NAME; $there_is" local:here
check "nor has mpi:" says "UNSUPPORTED: 'mpi:0': * transport of mpi:RANK; $there_is" mpi:0
check "an address of the web" says "INVALID: *http://host:80*write it as http2+host:port*" http://host:80
check "an address without a port" says "INVALID: cannot connect to 'http2+host': write it as host:port or *" http2+host
check "TLS is not there" says "UNSUPPORTED: the credentials ask for TLS, and this muster was built without it*" 127.0.0.1:1 tls
check "nor for a CA" says "UNSUPPORTED: the credentials ask for TLS, *" http2+127.0.0.1:1 "$scratch/none.pem"
check "configure, and make, with TLS" with_tls
check "certificates" make_certificate
tls=$scratch/tls
check "turns over TLS with C-core" turns true "" "$tls/ca.pem" "$tls/server.pem" "$tls/server.key"
check "and with HTTP/2" turns true http2+ "$tls/ca.pem" "$tls/server.pem" "$tls/server.key"
check "a file that is not there is named" says "IO: cannot read the CA file '$scratch/none.pem': *" 127.0.0.1:1 "$scratch/none.pem"

exit "$failed"

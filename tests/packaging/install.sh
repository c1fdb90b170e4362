#!/usr/bin/env bash
# What `make install` puts on a machine: a foreign program builds against it with pkg-config alone, shared and
# static; the library can be loaded and left unused; the programs in the README compile, run and meet.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

if [[ ! -e $top_builddir/.libs/libmuster.so ]]; then
    echo "no shared library was built"
    exit 77
fi

refers_to_build_tree() {
    local source
    source=$(realpath "$top_srcdir")
    grep -rIl -e "$source/lib" -e "$source/include" -e "$(realpath "$top_builddir")" "$shared_root"
}

# Runs a program where it may leave something.
run_in_scratch() {
    cd "$scratch" && run_shared "./$1" && [[ -s $1.csv ]]
}

# Prints what is not there, of what a machine gets beside library and programs.
not_installed() {
    local file prefix=${libdir%/*}
    local -a wanted=(share/man/man3/muster.3 share/man/man3/proxy_run.3 share/muster/proto/stream.proto
        share/doc/muster/README.md share/doc/muster/docs/protocol.md share/doc/muster/examples/participant.c)
    if [[ -e $top_builddir/apps/muster/muster ]]; then
        wanted+=(bin/muster bin/muster_conformance share/man/man1/muster.1 share/man/man1/muster_conformance.1 share/man/man1/muster-server.1 share/bash-completion/completions/muster
            share/bash-completion/completions/muster_conformance share/zsh/site-functions/_muster_conformance
            share/fish/vendor_completions.d/muster_conformance.fish
            share/zsh/site-functions/_muster share/fish/vendor_completions.d/muster.fish
            lib/systemd/system/muster-server.service lib/systemd/system/muster-participant@.service)
    fi
    for file in "${wanted[@]}"; do
        [[ -s $shared_root$prefix/$file ]] || echo "there is no $prefix/$file"
    done
}

# A path that pkg-config tells is one on the machine, so DESTDIR is put in front of it here.
protocol_is_there() {
    local folder
    folder=$(PKG_CONFIG_PATH=$shared_root$pkgconfigdir pkg-config --variable=protodir muster) || return
    [[ -s $shared_root$folder/original.proto ]] || echo "there is no original.proto in $folder"
}

# What is left when all is removed.
left_over() {
    local root=$scratch/removed
    cp -a "$shared_root" "$root"
    make_alone -C "$top_builddir" uninstall DESTDIR="$root" >/dev/null 2>&1
    find "$root" ! -type d
}

cat >"$scratch/foreign.c" <<'C'
#include <muster/muster.h>
#include <stdio.h>
int main(void)
{
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    struct participant_manager *manager;
    struct muster_error error;
    options.listen = "127.0.0.1:0";
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("muster %s on port %u\n", muster_version(), (unsigned)participant_manager_port(manager));
    participant_manager_free(manager);
    return 0;
}
C
cat >"$scratch/unused.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
    void *library = dlopen("libmuster.so", RTLD_NOW | RTLD_LOCAL);
    if (!library || !dlsym(library, "muster_version") || dlclose(library) != 0) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    return 0;
}
C
cp "$scratch/foreign.c" "$scratch/foreign_static.c"

shared_root=$scratch/shared
library_path=$shared_root$libdir
static_root=$scratch/static
check "make install" install_into "$shared_root"
check "no path of the build tree in what is installed" nothing refers_to_build_tree
check "pages, documents, completion, units and protocol are there" nothing not_installed
check "pkg-config says where the protocol is" nothing protocol_is_there
check "make uninstall removes all of it" nothing left_over
check "a foreign program builds with pkg-config" compile "$shared_root" foreign
check "it runs" run_shared "$scratch/foreign"
check "the library is loaded and left unused" $CC -o "$scratch/unused" "$scratch/unused.c"
check "and unloaded" run_shared "$scratch/unused"

if [[ -e $shared_root$libdir/libmuster.a ]]; then
    cp -a "$shared_root" "$static_root"
    rm -f "$static_root$libdir"/libmuster.so*
    check "a foreign program builds with pkg-config --static" compile "$static_root" foreign_static --static
    check "it does not need libmuster.so" nothing needs libmuster "$scratch/foreign_static"
    check "and runs" "$scratch/foreign_static"
fi

if [[ ${public_headers:?is not set: run this through make check} == *muster/fixture.h* ]]; then
    cat >"$scratch/fixture.c" <<'C'
#include <muster/fixture.h>
#include <muster/muster.h>
int main(void)
{
    struct muster_transport *network = muster_fixture_new("mine");
    struct participant_manager_options options;
    struct participant_manager *manager;
    participant_manager_options_init(&options);
    options.listen = "fixture:mine/server";
    if (participant_manager_start(&options, &manager, NULL) != MUSTER_OK)
        return 1;
    participant_manager_close(manager);
    muster_fixture_settle(network);
    participant_manager_free(manager);
    muster_fixture_free(network);
    return 0;
}
C
    check "a foreign program builds with the fixture" compile "$shared_root" fixture
    check "it listens on it" run_shared "$scratch/fixture"
fi

if [[ $public_headers == *muster/record.h* ]]; then
    cat >"$scratch/record.c" <<'C'
#include <muster/muster.h>
int main(void)
{
    const char *sink = "csv:record.csv";
    struct muster_record_options options;
    struct muster_record *record;
    muster_record_options_init(&options);
    options.sinks = &sink;
    options.sink_count = 1;
    if (muster_record_open(&options, &record, NULL) != MUSTER_OK)
        return 1;
    muster_record_scalar(record, 1, "loss", 0.5);
    return muster_record_close(record, MUSTER_RECORD_FINISHED, 10000, NULL) != MUSTER_OK;
}
C
    cp "$scratch/record.c" "$scratch/record_static.c"
    check "a foreign program builds with a record" compile "$shared_root" record
    check "it keeps one" run_in_scratch record
    if [[ -e $shared_root$libdir/libmuster.a ]]; then
        check "it builds with pkg-config --static" compile "$static_root" record_static --static
    fi
fi

for program in $(extract_programs); do
    check "README: $program compiles" compile "$shared_root" "$program"
done
check "README: server and participants run a round" readme_round
check "README: the same as threads of one process" readme_threads

exit "$failed"

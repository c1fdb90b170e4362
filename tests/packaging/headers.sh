#!/usr/bin/env bash
# The public headers: each compiles alone, as C and as C++, and every function in them says what it does.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

compiles() {
    local compiler=$1 header=$2
    shift 2
    # shellcheck disable=SC2086 # CC may have arguments
    printf '#include <muster/%s>\n%s\n' "$header" "int main(void) { return 0; }" |
        $compiler "$@" "${warnings[@]}" -I"$top_srcdir/include" -fsyntax-only -
}

# The macros that initialise options must suit both languages and fill in every field.
initialisers() {
    local compiler=$1
    shift
    # shellcheck disable=SC2086
    $compiler "$@" "${warnings[@]}" -I"$top_srcdir/include" -fsyntax-only - <<'C'
#include <muster/muster.h>
int main(void)
{
    struct participant_manager_options manager_options;
    participant_manager_options_init(&manager_options);
    struct participant_options options;
    participant_options_init(&options);
    struct proxy_round_options round_options;
    proxy_round_options_init(&round_options);
    struct muster_record_options record_options;
    muster_record_options_init(&record_options);
    struct muster_monitor_options monitor_options;
    muster_monitor_options_init(&monitor_options);
    struct muster_topology_options topology_options;
    muster_topology_options_init(&topology_options);
    struct muster_message message = MUSTER_MESSAGE_INIT;
    return record_options.context || monitor_options.context || manager_options.context || options.context ||
           round_options.enough || topology_options.degree || message.storage;
}
C
}

# Prints the exported declarations that no comment stands before.
undocumented() {
    awk 'FNR == 1 { previous = "" }
         /^MUSTER_API/ && previous !~ /\*\/$/ { print FILENAME ":" FNR ": " $0 }
         { previous = $0 }' "$top_srcdir"/include/muster/*.h
}

for path in "$top_srcdir"/include/muster/*.h; do
    header=$(basename "$path")
    check "$header alone, as C" compiles "$CC" "$header" -x c -std=c11 -Wstrict-prototypes
    if command -v g++ >/dev/null; then
        check "$header alone, as C++" compiles g++ "$header" -x c++ -std=c++11
    fi
done
check "initialisers, as C" initialisers "$CC" -x c -std=c11
if command -v g++ >/dev/null; then
    check "initialisers, as C++" initialisers g++ -x c++ -std=c++11
fi
check "every public function is documented" nothing undocumented

exit "$failed"

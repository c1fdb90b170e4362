#!/usr/bin/env bash
# The units of systemd: systemd understands all of them, they start what is installed with options that there are, and they are
# shut in. systemd itself need not run here.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

units=$top_builddir/packaging/systemd
program=$top_builddir/apps/muster/muster
if ! command -v systemd-analyze >/dev/null || [[ ! -x $program ]]; then
    echo "there is no systemd-analyze, or the program is not built"
    exit 77
fi

# The units as they are installed, but with the program where it is now.
for unit in "$units"/*.service; do
    sed "s|=$bindir/muster |=$program |" "$unit" >"$scratch/$(basename "$unit")"
done

# systemd says nothing where it has no complaint; it also reads this machine's own units, which are not ours to mend.
complaints() {
    local unit=$1 about
    about=$(basename "$unit")
    SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no --recursive-errors=no "${unit/@./@name.}" 2>&1 |
        grep -F -e "${about%%[@.]*}" -e "status=" -e "Unknown"
}

# exposure UNIT MOST: in tenths, from 0 to 100.
exposed() {
    systemd-analyze security --offline=yes --threshold="$2" --no-pager "$scratch/$1" >"$scratch/exposure" 2>&1 ||
        tail -n 3 "$scratch/exposure"
}

# Long options of ExecStart that the program does not have.
unknown_options() {
    local words option known
    sed -n "s|^ExecStart=$bindir/muster ||p" "$units/$1" | while read -r -a words; do
        for option in "${words[@]:1}"; do
            [[ $option == --* ]] || continue
            known=$("$program" "${words[0]}" --help)
            [[ $known =~ \ ${option%%=*}[^a-z-] ]] ||
                echo "muster ${words[0]} has no option ${option%%=*}"
        done
    done
}

# What a unit reads its options from comes with an example.
without_defaults() {
    local file
    sed -n 's|^EnvironmentFile=-/etc/default/||p' "$units"/*.service | while read -r file; do
        grep -qE "^[A-Z_]+_OPTIONS=" "$top_srcdir/packaging/systemd/default/$file" || echo "there is no default/$file"
    done
}

for unit in "$scratch"/*.service; do
    check "systemd has no complaint about $(basename "$unit")" nothing complaints "$unit"
done
check "muster-server.service is shut in" nothing exposed muster-server.service 15
check "muster-coordinator.service is shut in" nothing exposed muster-coordinator.service 15
check "muster-participant@.service is shut in" nothing exposed muster-participant@.service 25
check "muster-server.service has no unknown option" nothing unknown_options muster-server.service
check "muster-coordinator.service has no unknown option" nothing unknown_options muster-coordinator.service
check "options come from files that there are" nothing without_defaults

exit "$failed"

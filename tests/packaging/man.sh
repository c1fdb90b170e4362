#!/usr/bin/env bash
# The man pages: there is one for each command and each public header, with all that the command's help and the header name, and
# no formatter has a complaint.
# shellcheck source=tests/packaging/common
. "${top_srcdir:?is not set: run this through make check}/tests/packaging/common"

pages=$top_builddir/man
program=$top_builddir/apps/muster/muster
conformance=$top_builddir/apps/conformance/muster_conformance

# Prints the words of standard input that are not in the page, whatever its layout.
not_in() {
    local page=$1 word text
    text=" $(plain "$page" | tr -s ' \n' ' ')"
    while read -r word; do
        [[ $text == *[^a-zA-Z0-9_-]"$word"[^a-zA-Z0-9_-]* ]] || echo "$page does not name $word"
    done
}

# The page as text, without bold and italics.
plain() {
    LC_ALL=C.UTF-8 groff -man -Tutf8 -rHY=0 -rLL=300n -P-c -P-b -P-u "$1" | sed 's/\xe2\x88\x92/-/g; s/\xe2\x80\x90/-/g'
}

complaints() {
    local page
    for page in "$@"; do
        LC_ALL=C.UTF-8 groff -man -Tutf8 -ww -z "$page"
        ! command -v mandoc >/dev/null || mandoc -Tlint -W warning "$page"
    done
}

# What `muster WORD... --help` lists; nothing unless its usage has COMMAND.
commands_of() {
    "$program" "$@" --help | awk 'NR == 1 && !/ COMMAND/ { exit }
        /^  [a-z]/ && $1 != "help" { print $1 }'
}

command_lacks() {
    local page=$1 name
    shift
    [[ -s $page ]] || echo "there is no $page"
    "$program" "$@" --help | grep -oE -- '^ +(-., )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | not_in "$page"
    commands_of "$@" | not_in "$page"
    while read -r name; do
        command_lacks "${page%.1}-$name.1" "$@" "$name"
    done < <(commands_of "$@")
}

conformance_lacks() {
    "$conformance" --help | grep -oE -- '^ +(-., )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | not_in "$pages/man1/muster_conformance.1"
}

# The functions, structs and macros of a header.
names_of() {
    grep -v "^#include" "$1" | grep -oE '\b(participant_manager|proxy|participant|muster|MUSTER)_[A-Za-z0-9_]+' |
        grep -vE '^MUSTER_([A-Z_]*_H|API|BEGIN_DECLS|END_DECLS)$' | sort -u
}

headers_lack() {
    local header page
    for header in ${public_headers:?is not set: run this through make check}; do
        page=muster_$(basename "$header" .h)
        page=$pages/man3/${page/muster_muster/muster}.3
        [[ -s $page ]] || echo "there is no $page"
        [[ $header == */export.h ]] || names_of "$top_srcdir/$header" | not_in "$page"
    done
}

# A page for each function that is exported.
functions_lack() {
    local function
    # shellcheck disable=SC2086 # this is a list
    while read -r function; do
        [[ -s $pages/man3/$function.3 ]] || echo "there is no $pages/man3/$function.3"
    done < <(cd "$top_srcdir" && cat $public_headers | tr '\n' ' ' | grep -oE 'MUSTER_API [^;{]*;' |
        sed -E 's/^[^(]*[ *]([a-z0-9_]+)\(.*/\1/')
}

# A page that leads to another leads to one that is there.
leads_nowhere() {
    local page target
    grep -H '^\.so ' "$pages"/man3/*.3 | while IFS=: read -r page target; do
        [[ -s $pages/${target#.so } ]] || echo "$page leads to ${target#.so }"
    done
}

# Each begins with a name and a summary, as apropos reads them.
without_summary() {
    awk 'FNR == 1 { if (last && !found) print last; found = 0; last = FILENAME }
         /^\.so / { found = 1 }
         previous == ".SH NAME" && /^[a-z_\\-]+ \\- [A-Za-z]/ { found = 1 }
         { previous = $0 }
         END { if (!found) print last }' "$pages"/man?/*
}

mapfile -t whole < <(grep -L '^\.so ' "$pages"/man?/*)
if command -v groff >/dev/null; then
    check "no formatter complains" nothing complaints "${whole[@]}"
    check "each header has a page with all its names" nothing headers_lack
    [[ ! -x $program ]] || check "each command has a page with all its options" nothing command_lacks "$pages/man1/muster.1"
    [[ ! -x $conformance ]] || check "so has the other program" nothing conformance_lacks
fi
check "each function has a page" nothing functions_lack
check "no page leads nowhere" nothing leads_nowhere
check "each page has a summary" nothing without_summary

exit "$failed"

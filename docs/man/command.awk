# Makes a man page of what a command prints with --help, in the layout of argp with lines that do not end at a margin.
# Variables: page, command ("muster server"), summary, version, date, others (names of other pages).

function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/`/, "\\(ga", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text
}

function put(line) {
    if (after_heading && line == ".PP")
        return
    print line
    after_heading = line ~ /^\.S[HS] /
}

function put_text(text) {
    put((text ~ /^[.']/ ? "\\&" : "") escape(text))
}

# "-n, --count=N" with the argument in italics.
function option_name(text,    parts, count, i, place, result) {
    count = split(text, parts, ", ")
    for (i = 1; i <= count; i++) {
        place = match(parts[i], /\[?[= ]/)
        if (!place)
            place = length(parts[i]) + 1
        result = result (i > 1 ? ", " : "") "\\fB" escape(substr(parts[i], 1, place - 1)) "\\fR"
        if (place <= length(parts[i]))
            result = result substr(parts[i], place, 1) "\\fI" escape(substr(parts[i], place + 1)) "\\fR"
    }
    return result
}

# Begins .SH unless it is the section that the text is in.
function begin_section(title) {
    if (section != title)
        put(".SH " title)
    section = title
    literal(0)
}

# Lines that stay as they are.
function literal(wanted) {
    if (wanted && !is_literal) {
        put(".PP")
        put(".RS 4")
        put(".EX")
    } else if (!wanted && is_literal) {
        put(".EE")
        put(".RE")
    }
    is_literal = wanted
}

# "TEXT  MORE": what stands before the first two spaces, and sets `rest` to what follows them.
function cut_at_gap(text,    place) {
    place = match(text, /  +/)
    rest = place ? substr(text, RSTART + RLENGTH) : ""
    return place ? substr(text, 1, place - 1) : text
}

BEGIN {
    shown = page
    gsub(/-/, "\\-", shown)
    print ".TH " toupper(shown) " 1 " date " \"muster " version "\" \"User commands\""
    print ".SH NAME"
    print shown " \\- " escape(summary)
    put(".SH SYNOPSIS")
    section = "SYNOPSIS"
}

section == "SYNOPSIS" && /^(Usage:|  or:)/ {
    sub(/^(Usage:|  or:) +/, "")
    if (index($0, command) == 1)
        usage = "\\fB" escape(command) "\\fR" escape(substr($0, length(command) + 1))
    else
        usage = escape($0)
    print (synopses++ ? ".br\n" : "") usage
    next
}

section == "SYNOPSIS" && !(/^$/ || (usage ~ / COMMAND/ && /^[A-Z][^.]*:$/)) {
    begin_section("DESCRIPTION")
}

/^$/ {
    literal(0)
    next
}

# A heading of options, and an option.
/^ [^ ].*:$/ {
    begin_section("OPTIONS")
    sub(/^ /, "")
    sub(/:$/, "")
    put(".SS " escape($0))
    next
}

/^  +-/ {
    begin_section("OPTIONS")
    sub(/^ +/, "")
    put(".TP")
    name = cut_at_gap($0)
    print option_name(name)
    if (rest != "")
        put_text(rest)
    in_option = 1
    next
}

# The text of an option whose name left no room for it.
in_option && /^          / {
    sub(/^ +/, "")
    put_text($0)
    next
}

{
    in_option = 0
}

# Indented: "NAME  what it is", what belongs below one, or lines that stay as they are.
/^  / {
    if (section == "OPTIONS")
        begin_section("NOTES")
    depth = match($0, /[^ ]/) - 1
    if (in_list && depth == 2 && substr($0, 15, 1) == " " && substr($0, 16, 1) != " ")
        $0 = substr($0, 1, 15) " " substr($0, 16)
    sub(/^ +/, "")
    name = cut_at_gap($0)
    if (rest != "") {
        literal(0)
        put(".TP 4")
        print "\\fB" escape(name) "\\fR"
        put_text(rest)
        in_list = 1
    } else if (in_list && depth > 2) {
        print ".sp"
        put_text($0)
    } else {
        in_list = 0
        literal(1)
        print "\\&" escape($0)
    }
    next
}

{
    in_list = 0
    literal(0)
    if (usage ~ / COMMAND/ && /^[A-Z][^.]*:$/) {
        begin_section("COMMANDS")
        put(".SS " escape(substr($0, 1, length($0) - 1)))
        next
    }
    if (/^The exit status is/) {
        exit_status = $0
        next
    }
    if (section == "OPTIONS" || section == "COMMANDS")
        begin_section("NOTES")
    put(".PP")
    put_text($0)
}

END {
    literal(0)
    if (exit_status != "") {
        put(".SH EXIT STATUS")
        put_text(exit_status)
    }
    put(".SH SEE ALSO")
    count = split(others, names, " ")
    for (i = 1; i <= count; i++) {
        gsub(/-/, "\\-", names[i])
        print ".BR " names[i] " (1)" (i < count ? "," : "")
    }
}

# Makes a man page of a public header: what its comments say, each below the declarations that it is about. Variables: page,
# version, date. With names=1 it prints the names of the functions instead.

function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text
}

# `name` becomes italic, and name() bold.
function marked(text,    parts, count, i, result, word) {
    count = split(escape(text), parts, "`")
    result = parts[1]
    for (i = 2; i <= count; i++)
        result = result (i % 2 == 0 && i < count ? "\\fI" parts[i] "\\fR" : (i % 2 == 0 ? "\\(ga" : "") parts[i])
    text = ""
    while (match(result, /[a-z_][a-z0-9_]*\(\)/)) {
        word = substr(result, RSTART, RLENGTH - 2)
        text = text substr(result, 1, RSTART - 1) "\\fB" word "\\fR()"
        result = substr(result, RSTART + RLENGTH)
    }
    return text result
}

# A section begins a paragraph by itself.
function put(line) {
    if (names || (after_section && line == ".PP"))
        return
    print line
    after_section = line ~ /^\.SH /
}

function put_text(line) {
    put((line ~ /^[.']/ ? "\\&" : "") line)
}

# The lines of a comment: paragraphs, and lists whose items begin with "- ".
function put_comment(    i, line, in_list, fresh) {
    fresh = 1
    for (i = 1; i <= comment_lines; i++) {
        line = comment[i]
        if (line == "") {
            fresh = 1
            in_list = 0
            continue
        }
        if (line ~ /^- /) {
            put(".IP \\(bu 2")
            in_list = 1
            line = substr(line, 3)
        } else if (fresh || (in_list && line !~ /^ /)) {
            put(".PP")
            in_list = 0
        }
        fresh = 0
        sub(/^ +/, "", line)
        put_text(marked(line))
    }
    comment_lines = 0
}

# Takes the marks of a comment off a line of one.
function add_comment(line) {
    sub(/^\/\*\*? ?/, "", line)
    sub(/ *\*\/ *$/, "", line)
    if (!sub(/^ \* ?/, "", line))
        sub(/^   ?/, "", line)
    sub(/ +$/, "", line)
    if (line != "" || comment_lines > 0)
        comment[++comment_lines] = line
}

function put_names(    text) {
    text = declaration
    gsub(/\/\*([^*]|\*[^\/])*\*\//, "", text)
    if (text !~ /^(MUSTER_API|static inline) /)
        return
    sub(/\(.*/, "", text)
    sub(/.*[ *]/, "", text)
    print text
}

# A declaration is over: it is shown, and what its comment says below it.
function end_declaration(    count, lines, i, cut) {
    if (names && declaration != "")
        put_names()
    if (declaration != "") {
        count = split(declaration, lines, "\n")
        cut = lines[1] ~ /^MUSTER_API /
        put(".PP")
        put(".EX")
        for (i = 1; i <= count; i++) {
            if (cut && i == 1)
                sub(/^MUSTER_API /, "", lines[i])
            else if (cut)
                sub(/^           /, "", lines[i])
            put("\\&" escape(lines[i]))
        }
        put(".EE")
    }
    if (comment_lines > 0) {
        if (declaration != "")
            put(".RS 4")
        put_comment()
        if (declaration != "")
            put(".RE")
    }
    declaration = ""
    inline = 0
}

function begin_section(title) {
    if (section == title)
        return
    section = title
    put(".SH " toupper(title))
}

# The header's first comment: its first sentence is the summary.
function put_top(    i, text, summary) {
    for (i = 1; i <= comment_lines; i++)
        text = text (i > 1 ? " " : "") comment[i]
    summary = text
    if (match(summary, /\.( |$)/))
        summary = substr(summary, 1, RSTART - 1)
    put(".TH " toupper(page) " 3 " date " \"muster " version "\" \"C library muster\"")
    put(".SH NAME")
    put(page " \\- " escape(summary))
    put(".SH SYNOPSIS\n.EX\n#include <muster/" header ">\n.EE")
    put(".SH DESCRIPTION")
    put_comment()
    top = 1
}

{
    if (NR == 1) {
        header = FILENAME
        sub(/.*\//, "", header)
        page = header == "muster.h" ? "muster" : "muster_" substr(header, 1, length(header) - 2)
    }
}

in_comment {
    add_comment($0)
    if (/\*\//) {
        in_comment = 0
        if (!top)
            put_top()
    }
    next
}

# What is no part of a declaration.
depth == 0 && /^(#(ifndef|ifdef|if|endif|else|undef|include)|MUSTER_(BEGIN|END)_DECLS)/ {
    if (/^#include <muster\//) {
        other = $2
        gsub(/[<>]|muster\/|\.h/, "", other)
        others[++other_count] = other == "muster" ? "muster" : "muster_" other
    }
    next
}

/^#define MUSTER_[A-Z_]*_H$/ {
    next
}

depth == 0 && /^\/\* ---- .* ---- \*\/$/ {
    end_declaration()
    sub(/^\/\* ---- /, "")
    sub(/ ---- \*\/$/, "")
    begin_section($0)
    next
}

depth == 0 && /^\/\*/ && declaration !~ /\\$/ {
    end_declaration()
    add_comment($0)
    in_comment = !/\*\//
    if (!in_comment && !top)
        put_top()
    next
}

depth == 0 && /^$/ {
    end_declaration()
    next
}

{
    if (section == "")
        begin_section("declarations")
    if (/^static inline/)
        inline = 1
    if (inline && /^\{/)
        declaration = declaration ";"
    else if (!inline || depth == 0 && !/^\}/)
        declaration = declaration (declaration == "" ? "" : "\n") $0
    if (!/^#define/)
        depth += gsub(/\{/, "{") - gsub(/\}/, "}")
}

END {
    end_declaration()
    if (names)
        exit
    print ".SH SEE ALSO"
    for (i = 1; i <= other_count; i++)
        if (others[i] != page)
            list = list (list == "" ? "" : ",\n") ".BR " others[i] " (3)"
    gsub(/\(3\),/, "(3),", list)
    print list (list == "" ? "" : ",\n") ".BR muster (1)"
}

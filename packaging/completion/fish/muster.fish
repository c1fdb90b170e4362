# Completion of `muster` in fish, by what `muster COMMAND --help` and `muster list` say.

function __muster_help
    ARGP_HELP_FMT=rmargin=30000 $argv --help 2>/dev/null </dev/null
end

# The program and the commands that are typed already.
function __muster_typed
    set -l words (commandline -opc)
    set -l typed $words[1]
    for word in $words[2..-1]
        if contains -- $word (__muster_commands (__muster_help $typed) | string replace -r '\t.*' '')
            test $word = help; or set -a typed $word
        end
    end
    printf '%s\n' $typed
end

function __muster_commands
    string match -q '* COMMAND*' -- $argv[1]; or return
    printf '%s\n' $argv | string replace -rf '^  ([a-z][a-z_-]*) +([^ ].*)$' '$1\t$2'
end

function __muster_complete
    set -l help (__muster_help (__muster_typed))
    set -l usage (string split -m 1 '\n\n' -- $help)[1]
    if string match -q -- '-*' (commandline -ct)
        printf '%s\n' $help | string replace -rf '^ {2,6}(?:-[^-], )?(--[a-z0-9-]+=?)\S*(?: +(.*))?$' '$1\t$2'
    else if string match -q '* COMMAND*' -- $usage
        __muster_commands $help
    else if string match -qr ' \[?RUN' -- $usage
        set -l program (commandline -opc)[1]
        $program list 2>/dev/null </dev/null | awk '
            NR == 1 { width = index($0, " state ") }
            NR > 1 { name = substr($0, 1, width - 1); sub(/ +$/, "", name); print name }'
        __fish_complete_directories
    else if string match -q '*FILE*' -- $usage
        __fish_complete_suffix .yml | string match -r '^.*\.ya?ml$|^.*/$'
    else
        __fish_complete_path
    end
end

complete -c muster -f -a '(__muster_complete)'

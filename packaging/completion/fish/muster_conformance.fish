# Completion of `muster_conformance` in fish: by what its --help says.

function __muster_conformance_options
    muster_conformance --help 2>/dev/null </dev/null | string replace -rf '^ {2,6}(?:-[^-], )?(--[a-z0-9-]+=?).*' '$1'
end

complete -c muster_conformance -n 'string match -q -- "-*" (commandline -ct)' -a '(__muster_conformance_options)'
complete -c muster_conformance -f -n 'test (count (commandline -opc)) -eq 1' -a 'participant server'

# Completion of `muster_conformance` in fish: by what its --help says.
complete -c muster_conformance -a '(muster_conformance --help 2>/dev/null | string replace -rf "^ {2,6}(?:-[^-], )?(--[a-z0-9-]+=?).*" "\$1")' -n 'string match -q -- "-*" (commandline -ct)'
complete -c muster_conformance -n '__fish_is_first_arg' -a 'participant server'

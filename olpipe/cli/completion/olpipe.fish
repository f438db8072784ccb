# Completion of olpipe for fish.
function __olpipe_complete
    set -l program (string replace --regex '^~/' "$HOME/" -- (commandline -opc)[1])
    for line in (env COMP_WORDS=(commandline -cp | string collect) _OLPIPE_COMPLETE=fish_complete $program 2>/dev/null)
        set -l fields (string split \t -- $line)
        switch $fields[1]
            case files
                __fish_complete_path (commandline -ct)
            case folders
                __fish_complete_directories (commandline -ct)
            case word part
                printf '%s\t%s\n' $fields[2] $fields[3]
        end
    end
end

complete --command olpipe --no-files --keep-order --arguments '(__olpipe_complete)'

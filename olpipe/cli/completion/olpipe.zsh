#compdef olpipe
# Completion of olpipe for zsh.
_olpipe() {
    local program=${~words[1]} typed="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" line
    local -a fields answer whole parts
    answer=("${(@f)$(COMP_WORDS=$typed _OLPIPE_COMPLETE=zsh_complete $program 2>/dev/null)}")
    for line in $answer; do
        fields=("${(@ps:\t:)line}")
        case $fields[1] in
            files) _files; return ;;
            folders) _files -/; return ;;
            word) whole+=("${fields[2]//:/\\:}${fields[3]:+:$fields[3]}") ;;
            part) parts+=("${fields[2]//:/\\:}${fields[3]:+:$fields[3]}") ;;
        esac
    done
    # What is complete is followed by a space. Behind a part, more is typed.
    (( $#whole )) && _describe -V olpipe whole
    (( $#parts )) && _describe -V olpipe parts -S ''
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _olpipe "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _olpipe olpipe
fi

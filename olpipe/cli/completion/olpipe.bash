# Completion of olpipe for bash.
_olpipe_completion() {
    local line=${COMP_LINE:0:COMP_POINT} breaks=$COMP_WORDBREAKS kind value about
    # Inside quotes, bash does not cut a word at `:` or `=`.
    [[ ${COMP_WORDS[COMP_CWORD]} == [\"\']* ]] && breaks=
    COMPREPLY=()
    while IFS=$'\t' read -r kind value about; do
        case $kind in
            files) compopt -o default ;;
            folders) compopt -o dirnames ;;
            word | part)
                [[ -n $breaks ]] && printf -v value %q "$value"
                COMPREPLY+=("$value")
                [[ $kind == part ]] && compopt -o nospace
                ;;
        esac
    done < <(
        env COMP_WORDS="$line" COMP_BREAKS="$breaks" _OLPIPE_COMPLETE=bash_complete \
            "${1/#\~\//$HOME/}" 2>/dev/null
    )
    return 0
}

# bash before 4.4 sorts what is offered.
complete -o nosort -F _olpipe_completion olpipe 2>/dev/null || complete -F _olpipe_completion olpipe

#compdef sgctl
# zsh completion for sgctl: sgctl itself knows what may stand at the cursor.
# Install as _sgctl in a directory of $fpath, or, after compinit: source <(sgctl completion zsh)

_sgctl() {
    local line reply one word files=
    local -a candidates
    line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    reply=$("${(Q)words[1]/#\~\//$HOME/}" __complete "$line" 2>/dev/null) || return 1
    for one in ${(f)reply}; do
        word=${one%%$'\t'*}
        if [[ $word == :files ]]; then
            files=1
        else
            candidates+=("${word//:/\\:}:${one#*$'\t'}")
        fi
    done

    if [[ -n $files ]]; then
        [[ $PREFIX == -*=* ]] && compset -P '*='
        _files && return 0
    fi
    (( $#candidates )) && _describe -V 'sgctl' candidates
}

if [[ ${funcstack[1]} == _sgctl ]]; then
    _sgctl "$@"
else
    compdef _sgctl sgctl
fi

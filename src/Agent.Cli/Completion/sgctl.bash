# bash completion for sgctl: sgctl itself knows what may stand at the cursor.
# Install as /usr/share/bash-completion/completions/sgctl, or: source <(sgctl completion bash)

_sgctl() {
    local line=${COMP_LINE:0:COMP_POINT} reply one word breaks glued=
    COMPREPLY=()
    reply=$("${1/#\~\//$HOME/}" __complete "$line" 2>/dev/null) || return 0

    # Readline completes what stands behind the last : or =, and sgctl answers with whole words.
    word=${line##*[[:space:]]}
    breaks=${COMP_WORDBREAKS//[^:=]/}
    if [[ -n $breaks && $word == *[$breaks]* ]]; then
        glued=${word%"${word##*[$breaks]}"}
    fi

    while IFS=$'\t' read -r one _; do
        if [[ $one == :files ]]; then
            compopt -o default 2>/dev/null
        elif [[ -n $one ]]; then
            COMPREPLY+=("$(printf %q "${one#"$glued"}")")
        fi
    done <<<"$reply"
}

complete -F _sgctl sgctl

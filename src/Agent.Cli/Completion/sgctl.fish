# fish completion for sgctl: sgctl itself knows what may stand at the cursor.
# Install in a vendor_completions.d or ~/.config/fish/completions, or: sgctl completion fish | source

function __sgctl_complete
    set -l words (commandline -opc)
    for one in (command $words[1] __complete (commandline -cp) 2>/dev/null)
        if test "$one" = ":files"
            __fish_complete_path (string replace -r -- '^--[a-z-]+=' '' (commandline -ct))
        else
            echo $one
        end
    end
end

complete -c sgctl -f -a '(__sgctl_complete)'

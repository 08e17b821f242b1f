"""The scripts that complete words, for each shell."""

from __future__ import annotations

from collections.abc import Sequence

from cellpose.cli._words import Command, Option

__all__ = ["bash_script", "fish_script", "zsh_script"]

# Prints the names of the user's own models, one per line: added ones and trained ones. For all three shells.
_OWN_MODELS = """\
    {home}
    sed '/^$/d' "$folder/gui_models.txt" 2>/dev/null
    sed -n 's/^ "\\(.*\\)": ".*$/\\1/p' "$folder/trained_models.json" 2>/dev/null"""
_POSIX_HOME = 'local folder="${CELLPOSE_LOCAL_MODELS_PATH:-$HOME/.cellpose/models}"'
_FISH_HOME = """\
set -l folder $HOME/.cellpose/models
    set -q CELLPOSE_LOCAL_MODELS_PATH; and set folder $CELLPOSE_LOCAL_MODELS_PATH"""


def _pattern(command: Command, option: Option) -> str:
    return f"{command.name}:{option.name}"


def bash_script(commands: Sequence[Command], models: Sequence[str]) -> str:
    """For bash 3.2 and later."""
    values, words, names = [], [], []
    for command in commands:
        for option in command.options:
            if option.kind != "none":
                pattern = f'"{_pattern(command, option)}"'
                values.append(f"        {pattern}) {_bash_value(option)} ;;")
                names.append(f"{_pattern(command, option)}{'*' if option.many else ''}")
        text = " ".join([*(option.name for option in command.options), *command.commands])
        place = _bash_value(command.places[0]) if command.places else ":"
        words.append(f"        \"{command.name}\") words='{text}'; _cellpose_place() {{ {place}; }} ;;")
    inner = [command.name for command in commands if " " in command.name]
    return _BASH.format(
        commands="|".join(command.name for command in commands if command.name and " " not in command.name),
        inner="|".join(f'"{name}"' for name in inner),
        own=_OWN_MODELS.format(home=_POSIX_HOME),
        models=" ".join(models),
        many="|".join(f'"{name[:-1]}"' for name in names if name.endswith("*")),
        values="\n".join(values),
        words="\n".join(words),
    )


def _bash_value(option: Option) -> str:
    if option.choices:
        return f"_cellpose_words '{' '.join(option.choices)}'"
    return {"folder": "_cellpose_paths -d", "file": "_cellpose_paths -f", "model": "_cellpose_models"}.get(
        option.kind, ":"
    )


_BASH = r"""# bash completion for cellpose; made by: cellpose completion bash

_cellpose_words() {{
    local IFS=$' \t\n'
    COMPREPLY=($(compgen -W "$1" -- "$cur"))
}}

_cellpose_paths() {{
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen "$1" -- "$cur"))
}}

_cellpose_own_models() {{
{own}
}}

_cellpose_models() {{
    _cellpose_paths -f
    local files=("${{COMPREPLY[@]}}") IFS=$'\n'
    COMPREPLY=($(compgen -W "$(printf '%s\n' {models}; _cellpose_own_models)" -- "$cur"))
    [[ ${{#COMPREPLY[@]}} -eq 0 || $cur == */* ]] && COMPREPLY=("${{files[@]}}")
}}

_cellpose_value() {{
    case "$1" in
{values}
        *) return 1 ;;
    esac
}}

_cellpose() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD - 1]}}" command="" words k
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $before == "=" ]]; then
        before="${{COMP_WORDS[COMP_CWORD - 2]}}"
    fi
    if [[ $COMP_CWORD -gt 1 ]]; then
        case "${{COMP_WORDS[1]}}" in {commands}) command="${{COMP_WORDS[1]}}" ;; esac
    fi
    if [[ -n $command && $COMP_CWORD -gt 2 ]]; then
        case "$command ${{COMP_WORDS[2]}}" in {inner}) command="$command ${{COMP_WORDS[2]}}" ;; esac
    fi
    _cellpose_value "$command:$before" && return
    if [[ $cur != -* ]]; then
        for ((k = COMP_CWORD - 1; k > 0; k--)); do
            [[ ${{COMP_WORDS[k]}} == --* ]] || continue
            case "$command:${{COMP_WORDS[k]}}" in
                {many}) _cellpose_value "$command:${{COMP_WORDS[k]}}" && return ;;
            esac
            break
        done
    fi
    case "$command" in
{words}
    esac
    [[ $cur == -* ]] || _cellpose_place
    [[ ${{#COMPREPLY[@]}} -gt 0 ]] || _cellpose_words "$words"
}}

complete -F _cellpose cellpose
"""


def zsh_script(commands: Sequence[Command], models: Sequence[str]) -> str:
    """For zsh with compinit."""
    functions = []
    for command in commands:
        specs = [*map(_zsh_option, command.options), *map(_zsh_place, command.places)]
        lines = " \\\n        ".join(specs)
        body = f"    _arguments -S \\\n        {lines}\n"
        if command.commands:
            shown = "\n".join(f"            {_zsh_quoted(f'{name}:{text}')}" for name, text in command.commands.items())
            cases = "\n".join(
                f"            {name}) shift words; (( CURRENT-- )); {_zsh_name(f'{command.name} {name}')}; return ;;"
                for name in command.commands
            )
            body = _ZSH_COMMANDS.format(shown=shown, cases=cases, body=body)
        functions.append(f"{_zsh_name(command.name)}() {{\n{body}}}\n")
    return _ZSH.format(
        own=_OWN_MODELS.format(home=_POSIX_HOME), models=" ".join(models), functions="\n".join(functions)
    )


def _zsh_name(command: str) -> str:
    return "_".join(["_cellpose", *command.split()])


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _zsh_option(option: Option) -> str:
    text = option.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    spec = f"{option.name}[{text}]"
    if option.kind != "none":
        spec += f":{'*-*:' if option.many else ''}{option.name.lstrip('-')}:{_zsh_action(option)}"
    return _zsh_quoted(spec)


def _zsh_place(place: Option) -> str:
    return _zsh_quoted(f"{'*' if place.many else ''}:{place.kind}:{_zsh_action(place)}")


def _zsh_action(option: Option) -> str:
    if option.choices:
        return f"({' '.join(option.choices)})"
    return {"folder": "_files -/", "file": "_files", "model": "_cellpose_known_models"}.get(option.kind, " ")


_ZSH_COMMANDS = """\
    local -a commands
    if (( CURRENT == 2 )); then
        commands=(
{shown}
        )
        _describe command commands
    else
        case "$words[2]" in
{cases}
        esac
    fi
{body}"""

_ZSH = r"""#compdef cellpose
# zsh completion for cellpose; made by: cellpose completion zsh

_cellpose_own_models() {{
{own}
}}

_cellpose_known_models() {{
    local -a names
    names=({models} "${{(@f)$(_cellpose_own_models)}}")
    compadd -a names
    _files
}}

{functions}
if [[ $funcstack[1] == _cellpose ]]; then
    _cellpose "$@"
else
    compdef _cellpose cellpose
fi
"""


def fish_script(commands: Sequence[Command], models: Sequence[str]) -> str:
    """For fish 3 and later."""
    lines = []
    for command in commands:
        here = f"complete -c cellpose -n '__cellpose_is \"{command.name}\"'"
        lines += [f"{here} -f -a {name} -d {_fish_quoted(text)}" for name, text in command.commands.items()]
        lines += [f"{here} {_fish_value(place)}" for place in command.places[:1]]
        lines += [_fish_option(here, option) for option in command.options]
        lines += [_fish_further(command, option) for option in command.options if option.many]
    inner = {command.name.partition(" ")[0] for command in commands if " " in command.name}
    return _FISH.format(
        commands=" ".join(command.name for command in commands if command.name and " " not in command.name),
        nested=" ".join(sorted(inner)),
        inner=" ".join(f"'{command.name}'" for command in commands if " " in command.name),
        own=_OWN_MODELS.format(home=_FISH_HOME),
        models=" ".join(models),
        lines="\n".join(lines),
    )


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(here: str, option: Option) -> str:
    name = option.name.lstrip("-")
    name = f"-l {name}" if option.name.startswith("--") else f"-s {name}"
    value = "" if option.kind == "none" else f" -r {_fish_value(option)}"
    return f"{here} {name}{value} -d {_fish_quoted(option.help)}"


def _fish_further(command: Command, option: Option) -> str:
    """The second and further values of an option: all that follows it, up to the next option."""
    condition = f'__cellpose_is "{command.name}"; and __cellpose_after {option.name}'
    return f"complete -c cellpose -n '{condition}' {_fish_value(option)}"


def _fish_value(option: Option) -> str:
    if option.choices:
        return f"-f -a '{' '.join(option.choices)}'"
    return {
        "folder": "-f -a '(__fish_complete_directories)'", "file": "-F", "model": "-F -a '(__cellpose_models)'"
    }.get(option.kind, "-f")  # fmt: skip


_FISH = r"""# fish completion for cellpose; made by: cellpose completion fish

function __cellpose_models
{own}
    printf '%s\n' {models}
end

function __cellpose_is
    set -l words (commandline -opc)
    set -l now ""
    contains -- "$words[2]" {commands}; and set now $words[2]
    contains -- "$words[2] $words[3]" {inner}; and set now "$words[2] $words[3]"
    test "$now" = "$argv[1]"
end

function __cellpose_after
    set -l options (commandline -opc | string match -- '-*')
    test "$options[-1]" = "$argv[1]"
end

complete -c cellpose -f
{lines}
"""

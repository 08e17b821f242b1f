"""The scripts that complete words: in the shells themselves, where they are installed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from cellpose import weights
from cellpose.cli import get_arg_parser, main
from cellpose.cli._completion import SHELLS, script_of
from cellpose.cli._parser import SUBCOMMANDS

NEEDED = {shell: pytest.mark.skipif(shutil.which(shell) is None, reason=f"needs {shell}") for shell in SHELLS}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with images and with models of one's own, and the scripts."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "my images", "models"):
        (tmp_path / folder).mkdir()
    (tmp_path / "movie.tif").touch()
    (tmp_path / "models/gui_models.txt").write_text("mine_added\n")
    (tmp_path / "models/trained_models.json").write_text('{\n "mine_trained": "/somewhere/mine_trained"\n}')
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    for shell in SHELLS:
        (tmp_path / f"script.{shell}").write_text(script_of(shell))
    return tmp_path


def offered(desk, shell, line):
    """All words that a shell offers for the last word of a line."""
    if shell == "fish":
        code = f"source script.fish; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True)
        return {row.partition("\t")[0] for row in done.stdout.splitlines()}
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"""
    source script.bash
    compopt() {{ :; }}
    COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}
    _cellpose
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return set(filter(None, done.stdout.splitlines()))


def typed(desk, shell, line):
    """The line after Tab, in a shell on a terminal."""
    start = {
        "bash": (["bash", "--norc", "--noprofile", "-i"], "source script.bash"),
        "zsh": (["zsh", "-f", "-i"], "bindkey -e; autoload -Uz compinit; compinit -D; source script.zsh"),
    }
    command, prepare = start[shell]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(PS1="$ ", TERM="xterm", LC_ALL="C.UTF-8")
        os.execvp(command[0], command)
    shown = b""

    def until(pattern):
        nonlocal shown
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = re.search(pattern, shown)
            if found:
                return found
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 4096)
        raise AssertionError(shown.decode(errors="replace"))

    try:
        os.write(terminal, f"{prepare}; echo rea''dy\n".encode())
        until(b"ready\r\n")
        # To the front and the end of the line go Ctrl-A and Ctrl-E: what stands there is printed, not run.
        os.write(terminal, line.encode() + b"\t\x01printf '<%s>' \x05; echo do''ne\n")
        until(b"done\r\n")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)
    printed = shown[shown.rindex(b"\n", 0, shown.rindex(b"done\r\n")) :]
    return re.findall(r"<([^<>]*)>", printed.decode())


@pytest.mark.parametrize("shell", [pytest.param(name, marks=NEEDED[name]) for name in ("bash", "fish")])
@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("cellpose ", set(SUBCOMMANDS)),
        ("cellpose m", {"models", "measure"}),
        ("cellpose --save_t", {"--save_tif", "--save_txt"}),
        ("cellpose --dir im", {"images/"}),
        ("cellpose --dir images --pretrained_model mine", {"mine_added", "mine_trained"}),
        ("cellpose --engine o", {"onnx", "openvino"}),
        ("cellpose --restore_type deblur_n", {"deblur_nuclei"}),
        ("cellpose models ", {"list", "pull", "add", "remove", "info", "path"}),
        ("cellpose models pull cyto", {"cyto", "cyto2", "cyto3"}),
        ("cellpose measure --spots_method ", {"log", "dog"}),
        ("cellpose measure --formats csv pa", {"parquet"}),
        ("cellpose track mov", {"movie.tif"}),
        ("cellpose convert movie.tif --to coc", {"coco"}),
        ("cellpose completion f", {"fish"}),
    ],
)
def test_words_that_are_offered(desk, shell, line, among):
    found = {word.rstrip("/") for word in offered(desk, shell, line)}
    assert {word.rstrip("/") for word in among} <= found
    last = line.rpartition(" ")[2]
    assert all(last in word for word in found)


@NEEDED["bash"]
def test_numbers_and_texts_are_not_completed(desk):
    for line in ("cellpose --diameter ", "cellpose --dir images --output_name im"):
        assert offered(desk, "bash", line) == set()


@pytest.mark.parametrize("shell", [pytest.param(name, marks=NEEDED[name]) for name in ("bash", "zsh")])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cellpose meas", ["cellpose", "measure"]),
        ("cellpose --dir my", ["cellpose", "--dir", "my images"]),
        ("cellpose --pretrained_model mine_t", ["cellpose", "--pretrained_model", "mine_trained"]),
        ("cellpose --dir images --no_resam", ["cellpose", "--dir", "images", "--no_resample"]),
        ("cellpose measure --formats h", ["cellpose", "measure", "--formats", "h5ad"]),
        ("cellpose measure --masks_", ["cellpose", "measure", "--masks_dir"]),
        ("cellpose models rem", ["cellpose", "models", "remove"]),
        ("cellpose track mov", ["cellpose", "track", "movie.tif"]),
    ],
)  # fmt: skip
def test_lines_that_are_typed(desk, shell, line, words):
    assert [word.rstrip("/") for word in typed(desk, shell, line)] == words  # zsh takes back the slash it has added


@pytest.mark.parametrize("shell", SHELLS)
def test_every_option_command_and_model_is_there(shell):
    script = script_of(shell)
    for action in get_arg_parser()._actions:
        for name in action.option_strings:
            assert re.search(rf"(-l |-s |\s|'|){name.lstrip('-') if shell == 'fish' else name}\b", script), name
    for name in (*SUBCOMMANDS, *weights.bundled_models(), "cyto3", "denoise_cyto3"):
        assert name in script
    assert "test_dir" in script
    assert "TODO" not in script


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script(shell, capsys):
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == script_of(shell)


def test_scripts_are_made_without_torch():
    code = (
        "import sys; from cellpose.cli._completion import script_of; script_of('bash'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

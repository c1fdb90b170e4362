#!/usr/bin/python3 -B
"""Completion in real shells, at a terminal: bash, and zsh and fish where they are. What they offer is what the program's help
says; and with a stand-in for the program, what is not there yet: commands of commands, runs, files."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

TOP = pathlib.Path(os.environ.get("top_srcdir", ".")).resolve()
sys.path.insert(0, str(TOP / "tests/apps"))
import support  # noqa: E402, with its path

PROGRAM = support.MUSTER.parent
BASH_COMPLETION = pathlib.Path("/usr/share/bash-completion/bash_completion")
LIMIT = 120

# What --help of a program says that has all that a command can want.
STAND_IN = r"""#!/bin/sh
case "$*" in
--help) cat <<'TEXT'
Usage: muster COMMAND [OPTION...]

  check        check an experiment file
  status       what a run does
  launch       start a program many times
  vertical     a master and its members
  help COMMAND say what a command does, and list its options
TEXT
;;
"check --help") printf 'Usage: muster check [OPTION...] FILE\n\n      --schema               Print it\n' ;;
"status --help") printf 'Usage: muster status [OPTION...] [RUN]\n\n  -j, --json                 As JSON\n' ;;
"launch --help") printf 'Usage: muster launch [OPTION...] -- PROGRAM [ARGUMENT...]\n\n  -n, --count=N              So many\n' ;;
"vertical --help") printf 'Usage: muster vertical COMMAND [OPTION...]\n\n  master       has labels\n  member       has columns\n' ;;
"vertical master --help") printf 'Usage: muster vertical master [OPTION...]\n\n      --data=FILE            A table\n      --run=DIR              Its run\n' ;;
list) printf 'run       state    since\nfirst-run running  now\nsecond    ended    once\nmy own    ended    once\n' ;;
*) exit 2 ;;
esac
"""


class Terminal:
    """A shell at a terminal. READY comes when it waits for a line; Control-G prints the line that is there."""

    def __init__(self, command, environment, directory):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(directory)
            os.execvpe(command[0], command, environment)
        self.seen = ""

    def type(self, text):
        while text:
            text = text[os.write(self.terminal, text.encode()):]

    def wait_for(self, pattern):
        end = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.seen)):
            if not select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the shell has ended: {self.seen!r}") from None
        self.seen = self.seen[found.end():]
        return found

    def close(self):
        os.close(self.terminal)  # which ends the shell
        os.waitpid(self.process, 0)


class Shell:
    """Asks a shell what it makes of a line."""

    def __init__(self, test, program=PROGRAM):
        self.folder = tempfile.TemporaryDirectory()
        test.addCleanup(self.folder.cleanup)
        self.home = pathlib.Path(self.folder.name)
        for name in ("experiment.yml", "other.yaml", "notes.txt"):
            (self.home / name).touch()
        (self.home / "folder").mkdir()
        if program is None:
            program = self.home / "bin"
            program.mkdir()
            (program / "muster").write_text(STAND_IN)
            (program / "muster").chmod(0o755)
        self.environment = {"PATH": f"{program}:/usr/bin:/bin", "HOME": str(self.home), "TERM": "dumb", "COLUMNS": "10000",
                            "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null"}

    def start(self, test, command, set_up):
        self.terminal = Terminal(command, self.environment, self.home)
        test.addCleanup(self.terminal.close)
        self.terminal.type(f"{set_up}; printf 'REA%s\\n' DY\n")
        self.terminal.wait_for("READY\r\n")

    def line_after(self, text):
        """The line when `text` was typed and the keys of completion."""
        self.terminal.type("\x15" + text + "\x07")
        return self.terminal.wait_for(r"LINE=(.*?)=LINE")[1]


class Bash(Shell):
    def __init__(self, test, program=PROGRAM):
        super().__init__(test, program)
        self.start(test, ["bash", "--norc", "--noprofile", "-i"],
                   f". {BASH_COMPLETION} && . {TOP}/packaging/completion/bash/muster && "
                   """bind -x '"\\C-g": printf "LINE=%s=LINE\\n" "$READLINE_LINE"'; bind '"\\C-t": insert-completions'; """
                   "bind 'set enable-bracketed-paste off'")

    def completed(self, text):
        return self.line_after(text + "\t")

    def offers(self, text):
        """All that could stand in the place of the last word."""
        words = self.line_after(text + "\x14").split()
        return [word.rstrip("/") for word in words[len(text.split()) - (not text.endswith(" ")):]]


class Zsh(Shell):
    def __init__(self, test, program=PROGRAM):
        super().__init__(test, program)
        self.start(test, ["zsh", "-f", "-i"],
                   f"unsetopt zle_bracketed_paste prompt_sp; fpath=({TOP}/packaging/completion/zsh $fpath); autoload -Uz compinit; "
                   "compinit -u -D; show() { print -r -- \"LINE=$BUFFER=LINE\" }; zle -N show; bindkey -e; "
                   "bindkey '^G' show; bindkey '^U' kill-whole-line; bindkey '^I' complete-word")

    def completed(self, text):
        return self.line_after(text + "\t")


class Fish(Shell):
    def offers(self, text):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {TOP}/packaging/completion/fish/muster.fish; complete -C $argv[1]", text],
            env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=LIMIT, check=True)
        return [line.split("\t")[0].rstrip("/") for line in done.stdout.splitlines()]


def said(*words):
    return subprocess.run([PROGRAM / "muster", *words, "--help"], capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def commands(*words):
    return re.findall(r"^  ([a-z][a-z_-]*) +\S", said(*words), re.MULTILINE)


def options(*words):
    return sorted(set(re.findall(r"^ {2,6}(?:-., )?(--[a-z0-9-]+=?)", said(*words), re.MULTILINE)))


class WhatTheProgramHas:
    def test_commands(self):
        self.assertEqual(sorted(self.Shell(self).offers("muster ")), sorted(commands()))

    def test_options_of_each_command(self):
        shell = self.Shell(self)
        for command in set(commands()) - {"help"}:
            below = commands(command) if " COMMAND" in said(command).splitlines()[0] else [""]
            for words in ([command, name] if name else [command] for name in below):
                self.assertEqual(sorted(shell.offers(f"muster {' '.join(words)} --")), options(*words), words)


    def test_runs_that_there_were(self):
        shell = self.Shell(self)
        (shell.home / "own.yml").write_text(
            "name: my own run\nserver: {rounds: 1, wait: 1, restart: never}\n"
            "participants: {program: 'true', restart: never}\n")
        # It fails, as nobody takes part; but a run it was.
        subprocess.run(["muster", "start", "own.yml"], env=shell.environment, cwd=shell.home, capture_output=True,
                       stdin=subprocess.DEVNULL, timeout=LIMIT)
        for command in ("status", "logs", "stop"):
            self.assertEqual(self.runs(shell, f"muster {command} my"), "my own run")


class WhatACommandWants:
    def setUp(self):
        self.shell = self.Shell(self, None)

    def test_commands_of_commands(self):
        self.assertEqual(self.shell.offers("muster vertical "), ["master", "member"])
        self.assertEqual(self.shell.offers("muster vertical master --r"), ["--run="])
        self.assertEqual(self.shell.offers("muster help ver"), ["vertical"])

    def test_experiments(self):
        self.assertLessEqual({"experiment.yml", "other.yaml"}, set(self.shell.offers("muster check ")))
        self.assertNotIn("notes.txt", self.shell.offers("muster check "))

    def test_runs(self):
        offers = self.shell.offers("muster status ")
        self.assertLessEqual({"first-run", "second", "folder"}, set(offers))
        self.assertNotIn("run", offers)
        self.assertNotIn("notes.txt", offers)


class Common(unittest.TestCase):
    def needs(self, *programs):
        for program in programs:
            if not shutil.which(str(program)) and not pathlib.Path(program).exists():
                self.skipTest(f"there is no {program}")


class InBash(WhatTheProgramHas, Common):
    Shell = Bash

    def runs(self, shell, line):
        return shell.completed(line).removeprefix(line[:-2]).rstrip().replace("\\ ", " ")


class OfCommandsInBash(WhatACommandWants, Common):
    Shell = Bash

    def test_one_is_completed(self):
        self.assertEqual(self.shell.completed("muster vert"), "muster vertical ")
        self.assertEqual(self.shell.completed("muster vertical master --d"), "muster vertical master --data=")
        self.assertEqual(self.shell.completed("muster check --s"), "muster check --schema ")
        self.assertEqual(self.shell.completed("muster status --json f"), "muster status --json f")
        self.assertEqual(self.shell.completed("muster status --json fi"), "muster status --json first-run ")
        self.assertEqual(self.shell.completed("muster status m"), "muster status my\\ own ")

    def test_values(self):
        self.assertEqual(self.shell.completed("muster vertical master --data=no"), "muster vertical master --data=notes.txt ")
        self.assertEqual(self.shell.completed("muster vertical master --data no"), "muster vertical master --data notes.txt ")
        self.assertEqual(self.shell.completed("muster vertical master --run=fo"), "muster vertical master --run=folder/")
        self.assertEqual(self.shell.completed("muster launch --count="), "muster launch --count=")

    def test_another_program_after_two_dashes(self):
        self.assertEqual(self.shell.completed("muster launch -n 2 -- muster vert"), "muster launch -n 2 -- muster vertical ")
        self.assertEqual(self.shell.completed("muster launch -n 2 -- cat no"), "muster launch -n 2 -- cat notes.txt ")


class InFish(WhatTheProgramHas, Common):
    Shell = Fish

    def runs(self, shell, line):
        return shell.offers(line)[0]

    def setUp(self):
        self.needs("fish")


class OfCommandsInFish(WhatACommandWants, Common):
    Shell = Fish

    def setUp(self):
        self.needs("fish")
        super().setUp()


class OfCommandsInZsh(Common):
    def test_one_is_completed(self):
        self.needs("zsh")
        shell = Zsh(self, None)
        self.assertEqual(shell.completed("muster vert"), "muster vertical ")
        self.assertEqual(shell.completed("muster vertical mem"), "muster vertical member ")
        self.assertEqual(shell.completed("muster vertical master --d"), "muster vertical master --data=")
        self.assertEqual(shell.completed("muster check ex"), "muster check experiment.yml ")
        self.assertEqual(shell.completed("muster status fi"), "muster status first-run ")
        self.assertEqual(shell.completed("muster status m"), "muster status my\\ own ")
        self.assertEqual(shell.completed("muster launch -n 2 -- cat no"), "muster launch -n 2 -- cat notes.txt ")


class OfTheOtherProgram(Common):
    PROGRAM = support.BUILD / "apps" / "conformance"

    def test_in_bash(self):
        shell = Bash(self, self.PROGRAM)
        shell.terminal.type(f". {TOP}/packaging/completion/bash/muster_conformance\n")
        self.assertEqual(shell.completed("muster_conformance --pad"), "muster_conformance --padding=")

    def test_in_fish(self):
        self.needs("fish")
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {TOP}/packaging/completion/fish/muster_conformance.fish; complete -C $argv[1]; "
             "complete -C $argv[2]", "muster_conformance --pad", "muster_conformance s"],
            env={"PATH": f"{self.PROGRAM}:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=LIMIT, check=True)
        self.assertEqual([line.split("\t")[0] for line in done.stdout.splitlines()], ["--padding=", "server"])


if __name__ == "__main__":
    if not BASH_COMPLETION.exists() or os.environ.get("MUSTER_TEST_TOOL", "none") != "none":
        print("there is no bash-completion, or a tool has nothing to see here")
        sys.exit(77)
    support.main()

"""Network namespaces of this machine that look like machines of their own, joined by a bridge."""

import os
import pathlib
import subprocess
import sys

SPACES = 4
NAME = f"muster{os.getpid() % 100000}"
# Tests that run at the same time are not in each other's way.
NETWORK = f"10.{200 + len(pathlib.Path(sys.argv[0]).stem)}.{os.getpid() % 250}"
HERE = f"{NETWORK}.254"  # this machine, as they see it


def address_of(space):
    return f"{NETWORK}.{space + 1}"


def name_of(space):
    return f"{NAME}-{space}"


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def remove():
    for space in range(SPACES):
        subprocess.run(["ip", "netns", "del", name_of(space)], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "link", "del", NAME], stderr=subprocess.DEVNULL)


def make():
    """A bridge of this machine, and namespaces that are joined by it."""
    ip("link", "add", NAME, "type", "bridge")
    ip("addr", "add", f"{HERE}/24", "dev", NAME)
    ip("link", "set", NAME, "up")
    for space in range(SPACES):
        name, end = name_of(space), f"{NAME}v{space}"
        ip("netns", "add", name)
        ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", end, "master", NAME, "up")
        ip("-n", name, "addr", "add", f"{address_of(space)}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")


def cut(space, off):
    """Takes a namespace off the bridge, or puts it on again."""
    ip("link", "set", f"{NAME}v{space}", "down" if off else "up")

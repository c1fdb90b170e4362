#!/usr/bin/python3 -B
"""What the documents say of the tree is true: links lead somewhere, README's promises name code and tests that are
there, docs/testing.md lists all fuzz targets, and the messages of docs/mistakes.md are the library's own."""

import os
import pathlib
import re
import sys

if os.environ.get("MUSTER_TEST_TOOL", "none") != "none":
    print("nothing for a tool to see here")
    sys.exit(77)
TOP = pathlib.Path(os.environ.get("top_srcdir", "."))
DOCUMENTS = [TOP / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(TOP.glob("docs/*.md"))

# What stands for a value in the messages of docs/mistakes.md, and words that are not the library's.
VALUES = r"ada|http://|lab|127\.0\.0\.1|0\.0\.0\.0|localhost|lr|bias|weight|Address already in use|\d+"


def anchors(path):
    """The names that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ +(.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links():
    for document in DOCUMENTS:
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", document.read_text()):
            target = document.parent / path if path else document
            if not target.exists():
                yield f"{document.name}: there is no {path}"
            elif anchor and anchor not in anchors(target):
                yield f"{document.name}: {path} has no heading #{anchor}"


def unlisted_documents():
    makefile = (TOP / "Makefile.am").read_text()
    for document in DOCUMENTS:
        if str(document.relative_to(TOP)) not in makefile:
            yield f"Makefile.am does not distribute {document.name}"


def false_promises():
    """README's table of promises: `path`: `name`, `name`; paths are below lib/ and tests/."""
    table = (TOP / "README.md").read_text().split("## What it promises")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (.+) \|$", table, re.MULTILINE)[1:]:
        promise, _, code, test = row.split(" | ")
        for folder, cell in (("lib", code), ("tests", test)):
            text = None
            for word in re.findall(r"`([^`]+)`", cell):
                if re.search(r"\.(c|h|py|sh)$", word):
                    path = TOP / folder / word
                    text = path.read_text() if path.exists() else ""
                    if not text:
                        yield f"{promise[:40]}: there is no {folder}/{word}"
                elif not word.startswith("./run") and not re.search(rf"\b{re.escape(word.rstrip('()'))}\b", text):
                    yield f"{promise[:40]}: there is no {word} in {path.relative_to(TOP)}"


def unlisted_targets():
    """Each fuzz target has a corpus, and a row in docs/testing.md."""
    table = (TOP / "docs/testing.md").read_text().split("## Fuzz targets")[1].split("\n## ")[0]
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE)))
    for folder in sorted((TOP / "tests/fuzz/corpus").iterdir()):
        if folder.name not in listed:
            yield f"docs/testing.md does not list the fuzz target {folder.name}"


def other_programs():
    """A program that a document shows as a whole, after a link to its file, is that file."""
    for document in DOCUMENTS:
        shown = re.findall(r"\]\(([^)]*\.(?:c|py|yml))\):\n\n```\w+\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
        for path, code in shown:
            if (document.parent / path).read_text() != code:
                yield f"{document.name}: {path} is another"


def pieces():
    """What stands between the %-conversions of the strings in the library's sources, longest first."""
    string = r'"(?:[^"\\\n]|\\.)*"'
    found = set()
    for path in [*TOP.glob("lib/**/*.[ch]"), *TOP.glob("include/muster/*.h")]:
        for group in re.findall(rf"{string}(?:\s*{string})*", path.read_text()):
            text = "".join(part[1:-1] for part in re.findall(string, group))
            found.update(re.split(r"%[-0-9.*]*(?:ll|l|z|h)?[a-zA-Z]", text))
    return sorted((piece for piece in found if len(piece) > 3), key=len, reverse=True)


def messages_of_nobody():
    statuses = set(re.findall(r"X\((\w+), \d+", (TOP / "include/muster/status.h").read_text()))
    known = pieces()
    for block in re.findall(r"^```text\n(.*?)^```", (TOP / "docs/mistakes.md").read_text(), re.MULTILINE | re.DOTALL):
        for message in block.splitlines():
            text = message.removeprefix("muster: warning: ")
            status = re.match(r"([A-Z_]+): ", text)
            if status and status[1] not in statuses:
                yield f"there is no status {status[1]}"
            text = text[status.end() :] if status else text
            for piece in known:
                text = text.replace(piece, "\0")
            rest = re.sub(rf"\0|{VALUES}|[\s:.,()'\[\]]", "", text)
            if rest:
                yield f"nobody says: {message} ({rest})"


def check(text, problems):
    problems = list(problems)
    print("not ok" if problems else "ok", text)
    for problem in problems:
        print(f"    {problem}")
    return not problems


results = [
    check("links lead somewhere", broken_links()),
    check("all documents are distributed", unlisted_documents()),
    check("promises name code and tests that are there", false_promises()),
    check("all fuzz targets are listed", unlisted_targets()),
    check("programs that are shown are those in the tree", other_programs()),
    check("messages of usual mistakes are the library's", messages_of_nobody()),
]
sys.exit(not all(results))

"""A terminal for tests: what is on it after all that a program has written."""

import fcntl
import os
import pty
import re
import struct
import termios
import unicodedata


class Screen:
    """Both ends of a terminal; `rows` is what it shows, from the first line on, and nothing scrolls away."""

    def __init__(self, case, columns=120, lines=30):
        self.case, self.columns = case, columns
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        case.addCleanup(os.close, self.master)
        self.rows = [""]
        self.row = self.column = 0
        self.left = b""
        self.feeds = []  # the rows after each piece that came

    def keep_output(self):
        """Otherwise Control-C throws away what a program has written and nobody has read yet."""
        settings = termios.tcgetattr(self.slave)
        settings[3] |= termios.NOFLSH
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)

    def close_slave(self):
        """The programs alone have it from now on."""
        os.close(self.slave)

    def put(self, character):
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
        self.column += 1
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in self.rows[self.row])
        self.case.assertLess(width, self.columns, f"wrapped: {self.rows[self.row]}")

    def command(self, number, letter):
        if letter == "A":
            self.case.assertLessEqual(number, self.row)
            self.row -= number
        elif letter == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        else:
            self.case.fail(f"a command that this terminal does not know: {letter}")

    def feed(self, text):
        for number, letter, character in re.findall(r"\033\[(\d*)([A-Za-z])|(.)", text, re.DOTALL):
            if letter:
                self.command(int(number or 1), letter)
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.row += 1
                if self.row == len(self.rows):
                    self.rows.append("")
            else:
                self.case.assertTrue(character.isprintable(), repr(character))
                self.put(character)

    def read(self):
        """Reads a piece; false at the end."""
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False  # how a terminal ends
        data = self.left + data
        # What is cut off in the middle of a command or a character comes whole with the next piece.
        whole = len(re.sub(rb"(\033(\[\d*)?|[\xc0-\xff][\x80-\xbf]*)\Z", b"", data))
        self.left = data[whole:]
        self.feed(data[:whole].decode())
        return bool(data)

    def text(self):
        return "\n".join(self.rows)

    def read_until(self, pattern):
        """Reads until something on the screen matches, which is returned."""
        while not (match := re.search(pattern, self.text(), re.MULTILINE)):
            self.case.assertTrue(self.read(), f"no {pattern} in {self.text()}")
        return match

    def text_above(self, pattern):
        """Reads until a line matches; what stands above it."""
        start = self.read_until(pattern).start()
        return self.text()[:start]

    def read_while(self, pattern):
        """Reads until nothing on the screen matches."""
        while re.search(pattern, self.text(), re.MULTILINE):
            self.case.assertTrue(self.read(), self.text())

    def read_all(self):
        while self.read():
            pass
        return self.rows

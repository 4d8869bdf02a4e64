#!/usr/bin/env python3
"""The REPL at a terminal: prompts, a definition of several lines, history, ctrl-C, ctrl-D.

usage: terminal.py DLC
"""
import os
import pty
import select
import signal
import sys
import tempfile
import termios
import time


class Terminal:
    def __init__(self, dlc, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=home, TERM="vt100")
            os.execv(dlc, [dlc, "repl"])
        self.seen = ""

    def wait_for(self, text, seconds=60):
        """Reads until the text is there; what stands behind it stays for the next call."""
        until = time.time() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, until - time.time()))
            try:
                data = os.read(self.fd, 4096) if ready else b""
            except OSError:
                data = b""
            if not data:
                sys.exit(f"waited for {text!r}, got {self.seen!r}")
            self.seen += data.decode("utf-8", "replace")
        before, self.seen = self.seen.split(text, 1)
        return before

    def send(self, text):
        """Types it, once the line editor has the terminal: what is typed before that is no key to it."""
        for _ in range(600):
            if not termios.tcgetattr(self.fd)[3] & termios.ICANON:
                break
            time.sleep(0.05)
        os.write(self.fd, text.encode())

    def status(self):
        for _ in range(600):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 4096).decode("utf-8", "replace")
                except OSError:  # the other side is closed
                    time.sleep(0.1)
        os.kill(self.pid, signal.SIGKILL)
        return f"none: it did not end, and says {self.seen!r}"


def talk(dlc, home):
    t = Terminal(dlc, home)
    t.wait_for("dlc> ")
    t.send("fn f(x) =\r")
    t.wait_for("...> ")
    t.send("x + 40\r")
    t.wait_for("dlc> ")
    t.send("f(2)\r")
    t.wait_for("42")
    t.wait_for("dlc> ")
    t.send("f(unknown)\r")
    t.wait_for("`unknown`")
    t.wait_for("dlc> ")
    t.send("model m {\r")
    t.wait_for("...> ")
    t.send("\r")  # an empty line gives up
    t.wait_for("unfinished")
    t.wait_for("dlc> ")
    t.send("f(3)\r")
    t.wait_for("43")
    t.wait_for("dlc> ")
    t.send("model n {\r")
    t.wait_for("...> ")
    t.send("input")
    time.sleep(0.2)
    t.send("\x03")  # ctrl-C drops the definition, and nothing else
    t.wait_for("dlc> ")
    t.send("f(3)\r")
    t.wait_for("43")
    t.wait_for("dlc> ")
    t.send("\x10\r")  # ctrl-P: the line before
    t.wait_for("43")
    t.wait_for("dlc> ")
    t.send("sum[i < 150000000] sin(i)\r")
    time.sleep(0.5)
    os.kill(t.pid, signal.SIGINT)  # nor does it end what cannot be stopped
    t.wait_for("still at work")
    t.wait_for("dlc> ")
    t.send("\x04")  # ctrl-D
    return t.status()


def main():
    with tempfile.TemporaryDirectory() as home:
        status = talk(sys.argv[1], home)
        history = os.path.exists(os.path.join(home, ".dlc_history"))
    print(f"exit status {status}, history {'kept' if history else 'lost'}")
    return status != 0 or not history


sys.exit(main())

"""The shell as a user has it: one-shot, batch and at a terminal, against a daemon played here."""
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CULVERT = os.path.abspath(sys.argv.pop(1))


class Daemon:
    """Answers lines out of a table and records what was asked. A session has a mode, as culvertd's have."""

    def __init__(self, folder):
        self.lines = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(os.path.join(folder, "culvert.sock"))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def serve(self, connection):
        mode = "exec"
        prompts = {"exec": "hq# ", "config": "hq(config)# ", "config-router": "hq(config-router)# "}
        with connection, connection.makefile("r", encoding="utf-8") as requests:
            for message in requests:
                request = json.loads(message)
                assert request["v"] == 1, request
                line, ident = request["line"], request["id"]
                typed = line
                line = line.strip()
                if line:
                    self.lines.append(typed)

                def send(reply, fds=()):
                    data = (json.dumps({"id": ident, **reply}) + "\n").encode()
                    if fds:
                        socket.send_fds(connection, [data], list(fds))
                    else:
                        connection.sendall(data)

                status, error, close = 0, "", False
                if line in ("configure terminal", "conf t"):
                    mode = "config"
                elif line == "router bgp 1":
                    mode = "config-router"
                elif line == "end":
                    mode = "exec"
                elif line == "exit":
                    close = True
                elif line == "show version":
                    send({"text": "FRRouting 8.4.4 "})
                    send({"text": "(hq)\n"})
                elif line == "show long":
                    send({"text": "".join(f"line {i}\n" for i in range(1000))})
                elif line == "drop me":
                    return
                elif line.startswith("exec vrf"):
                    with open("/proc/self/ns/net", "rb") as ns:
                        send({"exec": {"argv": line.split()[3:]}}, [ns.fileno()])
                elif line and not line.startswith(("hostname", "neighbor")):
                    status, error = 1, f"% Unknown command: {line}"
                done = {"done": True, "status": status, "prompt": prompts[mode], "mode": mode}
                if error:
                    done["error"] = error
                if close:
                    done["close"] = True
                send(done)
                if close:
                    return


class Shell(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="culvert-config-")
        self.daemon = Daemon(self.folder.name)
        self.environment = {**os.environ, "HOME": self.folder.name, "TERM": "xterm"}

    def tearDown(self):
        self.daemon.close()
        self.folder.cleanup()

    def run_shell(self, *arguments, stdin="", program=CULVERT):
        return subprocess.run([program, "--run-dir", self.folder.name, *arguments], input=stdin, text=True, timeout=30,
                              capture_output=True, env=self.environment, check=False)

    def path(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def test_one_shot(self):
        done = self.run_shell("-c", "show version")
        self.assertEqual((done.returncode, done.stdout), (0, "FRRouting 8.4.4 (hq)\n"))

    def test_commands_share_a_session_and_stop_at_the_first_that_fails(self):
        done = self.run_shell("-c", "configure terminal", "-c", "router bgp 1", "-c", "frobnicate", "-c", "hostname x")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "% Unknown command: frobnicate\n")
        self.assertEqual(self.daemon.lines, ["configure terminal", "router bgp 1", "frobnicate"])

    def test_a_file_of_statements_is_configuration(self):
        done = self.run_shell("-f", self.path("a.conf", "! comment\nhostname hq\n\nbad line\nrouter bgp 1\n neighbor 10.0.0.1 remote-as 2\n"))
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "line 4: % Unknown command[1]: bad line\n")
        self.assertEqual(self.daemon.lines, ["configure terminal", "hostname hq", "bad line", "router bgp 1", " neighbor 10.0.0.1 remote-as 2"])

    def test_a_file_of_commands_is_run_as_typed(self):
        done = self.run_shell("-f", self.path("a", "show version\nconf t\nhostname x\nend\n"))
        self.assertEqual((done.returncode, done.stdout), (0, "FRRouting 8.4.4 (hq)\n"))

    def test_standard_input(self):
        done = self.run_shell(stdin="show version\n\nfrobnicate\nshow version\nexit\nshow version\n")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "FRRouting 8.4.4 (hq)\n% Unknown command: frobnicate\nFRRouting 8.4.4 (hq)\n")

    def test_called_vtysh_it_echoes_and_ends_with_zero(self):
        link = os.path.join(self.folder.name, "vtysh")
        os.symlink(CULVERT, link)
        done = self.run_shell("-d", "bgpd", stdin="show version\nfrobnicate\n", program=link)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "hq# show version\nFRRouting 8.4.4 (hq)\nhq# frobnicate\n% Unknown command: frobnicate\n")

    def test_nobody_there_says_what_to_do(self):
        done = subprocess.run([CULVERT, "--run-dir", "/no/such", "-c", "show version"], text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no /no/such/culvert.sock", done.stderr)
        self.assertIn("culvertd -c FILE", done.stderr)

    def test_a_dead_daemon_says_what_to_do(self):
        self.daemon.close()
        done = self.run_shell("-c", "show version")
        self.assertEqual(done.returncode, 1)
        self.assertIn("It was running and is gone", done.stderr)

    def test_a_lost_connection_is_an_error(self):
        done = self.run_shell("-c", "drop me")
        self.assertEqual(done.returncode, 1)
        self.assertIn("culvertd closed the connection", done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "entering a namespace needs root")
    def test_runs_a_program_in_the_namespace_it_is_given(self):
        done = self.run_shell("-c", "exec vrf RED readlink /proc/self/ns/net")
        self.assertEqual((done.returncode, done.stdout.strip()), (0, os.readlink("/proc/self/ns/net")))
        self.assertEqual(self.run_shell("-c", "exec vrf RED false").returncode, 1)
        missing = self.run_shell("-c", "exec vrf RED no-such-program")
        self.assertEqual(missing.returncode, 127)
        self.assertIn("there is no such program", missing.stderr)

    def test_usage(self):
        self.assertEqual(subprocess.run([CULVERT, "show", "version"], capture_output=True, check=False).returncode, 1)
        self.assertEqual(subprocess.run([CULVERT, "--manual", "x"], capture_output=True, check=False).returncode, 1)


class Terminal(Shell):
    """At a pty of 24 lines."""

    def setUp(self):
        super().setUp()
        self.master, slave = pty.openpty()
        import fcntl
        import termios
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen([CULVERT, "--run-dir", self.folder.name], stdin=slave, stdout=slave, stderr=slave,
                                        env=self.environment, start_new_session=True)
        os.close(slave)
        self.seen = ""
        self.expect("hq# ")

    def tearDown(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        super().tearDown()

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, text, timeout=20):
        """Waits for the text, and returns what came before it."""
        end = time.monotonic() + timeout
        while text not in self.seen:
            left = end - time.monotonic()
            self.assertGreater(left, 0, f"no {text!r} in {self.seen!r}")
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
        before, self.seen = self.seen.split(text, 1)
        return before

    def test_a_session(self):
        self.type("show version\n")
        self.expect("FRRouting 8.4.4 (hq)")
        self.expect("hq# ")
        self.type("conf t\n")
        self.expect("hq(config)# ")
        self.type("router bgp 1\n")
        self.expect("hq(config-router)# ")
        self.type("end\n")
        self.expect("hq# ")
        self.type("exit\n")
        self.assertEqual(self.process.wait(20), 0)
        with open(os.path.join(self.folder.name, ".culvert_history"), encoding="utf-8") as history:
            self.assertIn("router", history.read())

    def test_question_mark_answers_at_once_and_keeps_the_line(self):
        self.type("show ver?")
        self.expect("The version")
        self.expect("hq# show ver")
        self.type("\n")  # goes on with what was typed
        self.expect("% Unknown command: show ver")
        self.assertEqual(self.daemon.lines, ["show ver"])

    def test_question_mark_knows_the_block(self):
        self.type("conf t\nrouter bgp 1\n")
        self.expect("hq(config-router)# ")
        self.type("neighbor 10.0.0.1 timers ?")
        self.expect("connect")
        self.expect("(0-65535)")

    def test_tab_completes(self):
        self.type("sh\tversi\t\n")
        self.expect("FRRouting")
        self.assertEqual(self.daemon.lines, ["show version "])

    def test_tab_lists_what_is_possible(self):
        self.type("show dataplane \t")
        self.expect("drops")
        self.expect("runtime")

    def test_long_output_comes_in_pages(self):
        self.type("show long\n")
        page = self.expect("--More--")
        self.assertIn("line 22\r\n", page)
        self.assertNotIn("line 23", page)
        self.type("\n")
        self.expect("line 23\r\n")
        self.expect("--More--")
        self.type(" ")
        self.expect("line 46\r\n")
        self.expect("--More--")
        self.type("q")
        self.assertNotIn("line 100", self.expect("hq# "))
        self.type("terminal length 0\n")
        self.expect("hq# ")
        self.type("show long\n")
        self.expect("line 999")

    def test_a_lost_daemon_is_told_and_called_again(self):
        self.type("drop me\n")
        self.expect("culvertd closed the connection")
        self.expect("# ")
        self.type("show version\n")
        self.expect("FRRouting 8.4.4 (hq)")

    def test_passwords_stay_out_of_the_history(self):
        self.type("neighbor 10.0.0.1 password sesame\n")
        self.expect("hq# ")
        self.type("exit\n")
        self.process.wait(20)
        with open(os.path.join(self.folder.name, ".culvert_history"), encoding="utf-8") as history:
            self.assertNotIn("sesame", history.read())


# The terminal's tests are not to run Shell's again.
for name in [n for n in dir(Shell) if n.startswith("test_")]:
    setattr(Terminal, name, None)

if __name__ == "__main__":
    unittest.main()

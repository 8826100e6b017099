"""bgp-peer (tests/support/bgp_peer.cc) in a namespace of a lab: a feed or a sink for a whole table."""
import json
import subprocess
import threading
import time

from lab import BUILD, PATIENCE, Failure

PROGRAM = BUILD / "tests" / "support" / "bgp-peer"


class Peer:
    """One bgp-peer. say() writes a command; expect() waits for the event that answers it."""

    def __init__(self, lab, node, mode, peer, local, asn, peer_asn, family=4, **options):
        if not PROGRAM.exists():
            raise Failure(f"{PROGRAM} is not built")
        command = ["ip", "netns", "exec", lab.ns(node), PROGRAM, mode, "--peer", peer, "--local", local, "--as", asn,
                   "--peer-as", peer_asn, "--family", family]
        for key, value in options.items():
            if value:
                command += [f"--{key}", value]
        self.name = f"{mode} {local}"
        self.popen = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.arrival = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def _read(self):
        for line in self.popen.stdout:
            with self.arrival:
                self.events.append(json.loads(line))
                self.arrival.notify_all()
        with self.arrival:
            self.events.append({"event": "ended"})
            self.arrival.notify_all()

    def say(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def expect(self, event, seconds=60):
        """The next event of that name; those before it are forgotten. Anything that ends the session is a failure."""
        end = time.monotonic() + seconds * PATIENCE
        with self.arrival:
            while True:
                while self.events:
                    found = self.events.pop(0)
                    if found["event"] == event:
                        return found
                    if found["event"] in ("refused", "ended") or (found["event"] == "down" and event != "closed"):
                        raise Failure(f"{self.name} waited for {event!r} and got {found}")
                if not self.arrival.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    break
        if self.popen.poll() is None and event != "stats":
            self.say("stats")
            raise Failure(f"{self.name}: no {event!r} in {seconds * PATIENCE:.0f} s; {self.expect('stats', 5)}")
        raise Failure(f"{self.name}: no {event!r} in {seconds * PATIENCE:.0f} s")

    def ask(self, line, event, seconds=60):
        self.say(line)
        return self.expect(event, seconds)

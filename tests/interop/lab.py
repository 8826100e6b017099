"""Throw-away network labs: namespaces, links across a bridge that can be cut without a word, real peers, a probe.

Everything a lab makes carries its name as a prefix and is gone after close(): namespaces, processes, files.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", ROOT / "build")).resolve()
CULVERTD = BUILD / "culvertd"
CULVERT = BUILD / "config" / "shell" / "culvert"

# Waits are generous by this factor: sanitizers and a busy machine make everything slower.
PATIENCE = float(os.environ.get("CULVERT_PATIENCE", "1"))
# Follows every lab's name: two runs at a time on one machine need two.
SUFFIX = os.environ.get("CULVERT_LAB_SUFFIX", "")

# What a sanitizer says when it finds something, whatever the test itself thinks.
REPORTS = ("ERROR: AddressSanitizer", "runtime error:", "WARNING: ThreadSanitizer", "LeakSanitizer", "FATAL: ThreadSanitizer")


def sanitizer_options():
    """Those of tests/support/sanitizers.env, unless the environment says otherwise."""
    lines = (ROOT / "tests/support/sanitizers.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {k: os.environ.get(k, v.replace("ROOT", str(ROOT))) for k, v in settings.items()}


os.environ.update(sanitizer_options())


class Failure(Exception):
    """What a test says when the router is wrong."""


class Late(Failure):
    """What is measured was slower than its bound, or lost something. A machine that stood still meanwhile can have done
    that: run.py then runs the test once more, and that is final."""


class Final(Failure):
    """A program that ended, or a sanitizer's report of one: nothing that waiting would cure."""


def run(*command, check=True, timeout=60, **kw):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout * PATIENCE, **kw)
    if any(r in result.stderr for r in REPORTS):
        raise Final(f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stderr}")
    if check and result.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


class Stalls:
    """What the machine itself did meanwhile: how long it kept an idle process on each CPU from running (the hypervisor, the
    kernel), and how much of the time somebody waited for a CPU (other work)."""

    def __init__(self):
        self.began, self.waited = time.monotonic(), self._waited()
        self.file = tempfile.TemporaryFile("w+")
        self.watch = [subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("probe.py"), "stalls", str(cpu)], stdout=self.file,
            stdin=subprocess.DEVNULL) for cpu in sorted(os.sched_getaffinity(0))]

    def longest(self):
        """In ms, so far."""
        self.file.seek(0)
        return max([float(line) for line in self.file.read().split()], default=0.0)

    @staticmethod
    def _waited():
        try:
            text = pathlib.Path("/proc/pressure/cpu").read_text()
        except OSError:
            return 0  # a kernel without PSI
        return int(text.split("total=")[1].split()[0]) / 1e6

    def pressure(self):
        """The share of the time."""
        return (self._waited() - self.waited) / max(time.monotonic() - self.began, 1e-3)

    def close(self):
        for process in self.watch:
            process.kill()
            process.wait()
        self.file.close()


def wait_for(what, condition, seconds=20, every=0.1):
    """Polls until condition() is true (or returns something true) and returns that; says what was waited for."""
    end = time.monotonic() + seconds * PATIENCE
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Final:
            raise
        except (Failure, subprocess.SubprocessError, json.JSONDecodeError, KeyError, IndexError) as error:
            last = error
        if time.monotonic() > end:
            raise Failure(f"waited {seconds * PATIENCE:.0f} s for: {what}; last seen: {last}")
        time.sleep(every)


class Process:
    """A process of the lab, in a namespace of its own network and perhaps with private folders under /run."""

    def __init__(self, lab, name, node, command, env=None, private=(), ours=False):
        """One of `ours` must end with status 0 when it is asked to, and its sanitizer must have nothing to say."""
        self.lab, self.name, self.node, self.ours = lab, name, node, ours
        self.killed = None
        self.log = lab.dir / f"{name}.log"
        self.reports = f"{name}.sanitizer"
        env = dict(env or {})
        if ours:
            # In files of their own, by process: the guardian closes the log it was born with.
            where = f":log_path={lab.dir / self.reports}"
            env |= {k: os.environ[k] + where for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
        wrapper = []
        if private:
            mounts = "; ".join(f"mkdir -p {d}; mount -t tmpfs tmpfs {d}" for d in private)
            wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", mounts + '; exec "$@"', "sh"]
        full = ["ip", "netns", "exec", lab.ns(node), *wrapper, *map(str, command)]
        out = open(self.log, "ab")
        self.popen = subprocess.Popen(full, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                      start_new_session=True, env={**os.environ, **env})
        out.close()
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def run_beside(self, *command, **kw):
        """In the process's network and mount namespace: its vtysh, wg, birdc."""
        return run("nsenter", "-t", str(self.pid), "-n", "-m", "-r", "-w", "--", *command, **kw)

    def kill(self, how=signal.SIGTERM, wait=10):
        if not self.alive():
            return
        self.killed = how
        os.kill(self.pid, how)
        try:
            self.popen.wait(wait * PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self.popen.wait(10)

    def complaints(self):
        """What is wrong with how it ran and ended, as text."""
        files = sorted(self.lab.dir.glob(self.reports + ".*"))
        said = [f.read_text(errors="replace") for f in files]
        text = self.text()
        if self.ours and any(r in text for r in REPORTS):
            said.append(text[min(text.find(r) for r in REPORTS if r in text):][:10000])
        status = self.popen.poll()
        if self.ours and status not in (None, 0) and not (self.killed == signal.SIGKILL and status == -signal.SIGKILL):
            said.append(f"ended with status {status}" + (" after SIGTERM" if self.killed == signal.SIGTERM else ""))
        return [f"{self.name}: {s}" for s in said]

    def text(self):
        return self.log.read_text(errors="replace")


class Router:
    """A culvertd and the shell that talks to it."""

    def __init__(self, lab, name, config):
        self.lab, self.name = lab, name
        self.run_dir = lab.dir / f"run-{name}"
        self.run_dir.mkdir(exist_ok=True)
        self.config = lab.dir / f"{name}.conf"
        self.config.write_text(config)
        self.process = None
        self.start()

    def start(self):
        self.process = Process(self.lab, f"culvertd-{self.name}", self.name,
                               [CULVERTD, "-c", self.config, "--run-dir", self.run_dir], ours=True)
        self.lab.processes.append(self.process)
        wait_for(f"culvertd {self.name} to answer (log: {self.process.log})", self._answers, 30)

    def _answers(self):
        if not self.process.alive():
            raise Final(f"culvertd {self.name} ended:\n{self.process.text()[-3000:]}")
        return (self.run_dir / "culvert.sock").exists() and self.cli("show version", check=False).returncode == 0

    def cli(self, *lines, check=True):
        args = [CULVERT, "--run-dir", self.run_dir]
        for line in lines:
            args += ["-c", line]
        return run(*args, check=check, timeout=30)

    def show(self, line):
        return self.cli(line).stdout

    def json(self, line):
        return json.loads(self.cli(line + " json").stdout)

    def configure(self, *lines):
        return self.cli("configure terminal", *lines)

    def established(self, address, vrf=None):
        command = f"show bgp vrf {vrf} summary" if vrf else "show bgp summary"
        summary = self.json(command)
        return any(af.get("peers", {}).get(address, {}).get("state") == "Established" for af in summary.values()
                   if isinstance(af, dict))

    def route(self, prefix):
        family = "ipv6" if ":" in prefix else "ip"
        routes = self.json(f"show {family} route {prefix}").get(prefix, [])
        return next((r for r in routes if r.get("selected")), None)

    def via(self, prefix):
        route = self.route(prefix)
        return sorted(h.get("ip", "") for h in route["nexthops"]) if route else []


class Lab:
    def __init__(self, name, keep=False):
        self.name = name + SUFFIX
        self.keep = keep
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"culvert-{self.name}-"))
        self.processes = []
        self.nodes = []
        self._sweep()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.tell()
        if self.keep:
            return
        complaints = self.close()
        if complaints and (kind is None or issubclass(kind, Late)):
            raise Failure("\n".join(complaints))
        for complaint in complaints:
            print(complaint)

    def ns(self, node):
        return f"{self.name}-{node}"

    def _sweep(self):
        """What an earlier run of this lab left behind when it was killed."""
        listed = run("ip", "netns", "list").stdout.split()
        for ns in (n for n in listed if n.startswith(self.name + "-")):
            pids = run("ip", "netns", "pids", ns, check=False).stdout.split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", ns, check=False)
        for left in pathlib.Path(tempfile.gettempdir()).glob(f"culvert-{self.name}-*"):
            if left != self.dir:
                shutil.rmtree(left, ignore_errors=True)

    def tell(self):
        for process in self.processes:
            lines = process.text().splitlines()[-25:]
            print(f"--- {process.log.name}" + ("" if process.alive() else f" (ended: {process.popen.returncode})"))
            print("\n".join("    " + line for line in lines))

    def close(self):
        """Ends everything; returns what the processes have to complain of."""
        for process in reversed(self.processes):
            process.kill()
        complaints = [c for process in self.processes for c in process.complaints()]
        self.processes.clear()
        self._sweep()
        shutil.rmtree(self.dir, ignore_errors=True)
        return complaints

    # ---- topology ----

    def node(self, *names):
        for name in names:
            if name in self.nodes:
                continue
            self.nodes.append(name)
            ns = self.ns(name)
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
            settings = {"net/ipv4/conf/all/rp_filter": 0, "net/ipv4/conf/default/rp_filter": 0,
                        "net/ipv6/conf/all/accept_dad": 0, "net/ipv6/conf/default/accept_dad": 0,
                        "net/ipv6/conf/default/router_solicitations": 0, "net/ipv4/icmp_ratelimit": 0,
                        "net/ipv6/icmp/ratelimit": 0}
            self.exec(name, "sh", "-c", "; ".join(f"echo {v} > /proc/sys/{k}" for k, v in settings.items()), check=False)

    def exec(self, node, *command, **kw):
        return run("ip", "netns", "exec", self.ns(node), *command, **kw)

    def link(self, a, interface_a, b, interface_b, mtu=1500):
        """A veth pair."""
        self.node(a, b)
        run("ip", "link", "add", interface_a, "netns", self.ns(a), "type", "veth", "peer", "name", interface_b,
            "netns", self.ns(b))
        for node, interface in ((a, interface_a), (b, interface_b)):
            run("ip", "-n", self.ns(node), "link", "set", interface, "mtu", mtu, "up")

    def bridge(self, hub, *ends, mtu=1500):
        """A bridge in a namespace of its own; each end is (node, interface). Links are cut at the bridge's ports: a tap
        on a veth sees packets before any hook of its own namespace drops them."""
        self.node(hub)
        run("ip", "-n", self.ns(hub), "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", self.ns(hub), "link", "set", "br0", "mtu", mtu, "up")
        for node, interface in ends:
            port = self.port(node, interface)
            self.link(node, interface, hub, port, mtu)
            run("ip", "-n", self.ns(hub), "link", "set", port, "master", "br0")

    @staticmethod
    def port(node, interface):
        return f"{node}.{interface}"[:15]

    def address(self, node, interface, *addresses):
        for address in addresses:
            run("ip", "-n", self.ns(node), "addr", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))

    def route(self, node, prefix, via):
        run("ip", "-n", self.ns(node), *(["-6"] if ":" in prefix or ":" in via else []), "route", "replace", prefix, "via", via)

    def cut(self, hub, node, interface):
        """Silence in both directions, no link goes down."""
        port = self.port(node, interface)
        rules = (f'table netdev cut-{port.replace(".", "-")} {{\n'
                 f' chain in {{ type filter hook ingress device "{port}" priority -500; policy drop;\n }}\n'
                 f' chain out {{ type filter hook egress device "{port}" priority -500; policy drop;\n }}\n}}\n')
        self.exec(hub, "nft", "-f", "-", input=rules)

    def heal(self, hub, node, interface):
        self.exec(hub, "nft", "delete", "table", "netdev", f"cut-{self.port(node, interface).replace('.', '-')}")

    # ---- processes ----

    def start(self, name, node, command, **kw):
        process = Process(self, name, node, command, **kw)
        self.processes.append(process)
        return process

    def router(self, name, config):
        self.node(name)
        return Router(self, name, config)

    def key(self, name):
        """A WireGuard key pair: (file of the private key, public key)."""
        path = self.dir / f"{name}.key"
        private = run("wg", "genkey").stdout
        path.touch(mode=0o600)
        path.write_text(private)
        return path, run("wg", "pubkey", input=private).stdout.strip()

    def wireguard_go(self, node, interface, config, addresses, mtu=1420):
        process = self.start(f"wg-{node}", node, ["wireguard-go", "-f", interface],
                             env={"LOG_LEVEL": "error"}, private=["/run/wireguard"])
        wait_for("wireguard-go", lambda: process.run_beside("test", "-S", f"/run/wireguard/{interface}.sock",
                                                            check=False).returncode == 0)
        path = self.dir / f"{node}-{interface}.conf"
        path.write_text(config)
        process.run_beside("wg", "setconf", interface, path)
        self.address(node, interface, *addresses)
        run("ip", "-n", self.ns(node), "link", "set", interface, "mtu", mtu, "up")
        return process

    def frr(self, node, config, bfd=False):
        """zebra, bgpd and, if asked for, bfdd with a private /run/frr and /etc/frr."""
        conf = self.dir / f"{node}-frr.conf"
        conf.write_text(config)
        private = ["/run/frr", "/etc/frr"]
        script = ("touch /etc/frr/vtysh.conf /etc/frr/zebra.conf /etc/frr/bgpd.conf; chown -R frr:frr /etc/frr /run/frr; "
                  "/usr/lib/frr/zebra -d --log stdout; /usr/lib/frr/bgpd -d --log stdout; "
                  f"{'/usr/lib/frr/bfdd -d --log stdout; ' if bfd else ''}"
                  f"until test -S /run/frr/bgpd.vty; do sleep 0.1; done; vtysh -f {conf}; exec sleep infinity")
        process = self.start(f"frr-{node}", node, ["sh", "-c", script], private=private)
        process.vtysh = lambda *lines, **kw: process.run_beside(
            "vtysh", *[x for line in lines for x in ("-c", line)], **kw).stdout
        wait_for("FRR", lambda: "bgpd" in process.vtysh("show daemons"))
        return process

    def bird(self, node, config):
        conf = self.dir / f"{node}-bird.conf"
        conf.write_text(config)
        process = self.start(f"bird-{node}", node, ["bird", "-f", "-c", conf, "-s", "/run/bird/b.ctl"], private=["/run/bird"])
        process.birdc = lambda *words, **kw: process.run_beside("birdc", "-s", "/run/bird/b.ctl", *words, **kw).stdout
        wait_for("BIRD", lambda: "BIRD" in process.birdc("show", "status"))
        return process

    # ---- traffic ----

    def ping(self, node, target, count=3, size=56, df=False, interval=0.05, wait=2, source=None):
        command = ["ping", "-6" if ":" in target else "-4", "-n", "-c", count, "-i", interval, "-W", wait, "-s", size]
        if df:
            command += ["-M", "do"]
        if source:
            command += ["-I", source]
        return self.exec(node, *command, target, check=False, timeout=wait + count * (interval + wait) + 10)

    def pings(self, node, target, **kw):
        return self.ping(node, target, **kw).returncode == 0

    def echo(self, node, address, port=7777):
        process = self.start(f"echo-{node}-{port}", node,
                             [sys.executable, pathlib.Path(__file__).with_name("probe.py"), "echo", address, port])
        wait_for("the echo server", lambda: "ready" in process.text())
        return process

    def probe(self, node, target, count, interval_ms=1.0, port=7777):
        """A UDP probe each interval to an echo(); returns at once. result() waits and gives its JSON."""
        process = self.start(f"probe-{node}-{time.monotonic_ns()}", node,
                             [sys.executable, pathlib.Path(__file__).with_name("probe.py"), "probe", target, port, count,
                              interval_ms])

        def result():
            process.popen.wait((count * interval_ms / 1000 + 30) * PATIENCE)
            return json.loads(process.text().strip().splitlines()[-1])

        process.result = result
        return process

    def tcp(self, server, client, address, seconds=3):
        """Mbit/s of one TCP connection."""
        listener = self.start(f"iperf-{server}-{time.monotonic_ns()}", server, ["iperf3", "-s", "-1", "--forceflush", "-B", address])
        wait_for("iperf3", lambda: "listening" in listener.text())
        result = self.exec(client, "iperf3", "-c", address, "-t", seconds, "-J", timeout=seconds + 30)
        listener.kill()
        return json.loads(result.stdout)["end"]["sum_received"]["bits_per_second"] / 1e6

#!/usr/bin/env python3
"""lint: the allowed includes, every header alone, format, and clang-tidy.

    lint.py [all]      clang-tidy over what differs from the last landed commit, or over everything
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.chdir(ROOT)

# folder -> (folders it may include, system libraries it may include). The longest folder that matches a file counts.
# docs/architecture.md, "Who may include whom".
LIBRARIES = {
    "dpdk": r"rte_\w+\.h",
    "ipsec-mb": r"intel-ipsec-mb\.h",
    "sodium": r"sodium(/.*)?\.h",
    "openssl": r"openssl/.*",
    "boost": r"boost/.*",
    "lockfree": r"boost/lockfree/.*",
    "fmt": r"(fmt|spdlog)/.*",
    "edit": r"(histedit|editline/readline)\.h",
    "test": r"(gtest|gmock)/.*",
}
ENGINE = ["base"]
ALLOWED = {
    "base": (["base"], ["fmt"]),
    "config": (["config", "base"], ["fmt", "boost", "edit"]),
    "crypto": (["crypto", "base"], ["ipsec-mb", "sodium", "openssl", "fmt"]),
    "dataplane/api": (["dataplane/api", "base"], ["lockfree", "fmt"]),
    "dataplane": (["dataplane", "crypto", "base"], ["dpdk", "lockfree", "fmt"]),
    "dataplane/fib": (["dataplane/fib", "dataplane/api", "base"], ["lockfree", "fmt"]),
    "dataplane/bfd": (["dataplane/bfd", "dataplane/api", "crypto", "base"], ["fmt"]),
    "dataplane/esp": (["dataplane/esp", "dataplane/api", "crypto", "base"], ["fmt"]),
    "dataplane/wg": (["dataplane/wg", "dataplane/api", "crypto", "base"], ["fmt"]),
    "dataplane/wire": (["dataplane/wire", "base"], ["fmt"]),
    "controlplane/bgp": (["controlplane/bgp", *ENGINE], ["fmt"]),
    "controlplane/neighbor": (["controlplane/neighbor", "dataplane/api", *ENGINE], ["fmt"]),
    "controlplane/wireguard": (["controlplane/wireguard", "dataplane/api", "crypto", *ENGINE], ["fmt"]),
    "controlplane/policy": (["controlplane/policy", "controlplane/bgp", *ENGINE], ["fmt"]),
    "controlplane/rib": (["controlplane/rib", "controlplane/policy", "controlplane/bgp", *ENGINE], ["fmt", "boost"]),
    "controlplane/route": (["controlplane/route", "controlplane/rib", "controlplane/policy", "dataplane/api", *ENGINE], ["fmt", "boost"]),
    "controlplane/fib": (
        ["controlplane/fib", "controlplane/route", "controlplane/neighbor", "dataplane/api", *ENGINE],
        ["fmt", "boost"],
    ),
    "controlplane/runtime": (
        ["controlplane", "dataplane/api", "config", "crypto", "base"],
        ["fmt", "boost", "sodium"],
    ),
    "culvertd.cc": (["base", "config", "controlplane", "dataplane", "crypto"], ["fmt"]),
    "tests": (["base", "config", "crypto", "dataplane", "controlplane", "tests"], list(LIBRARIES)),
}


def run(*command, **kw):
    return subprocess.run(command, capture_output=True, text=True, **kw)


def files(*patterns):
    return [f for f in run("git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns).stdout.split() if pathlib.Path(f).exists()]


def rule_of(path):
    best = None
    for folder in ALLOWED:
        if path == folder or path.startswith(folder + "/"):
            if best is None or len(folder) > len(best):
                best = folder
    return best


def check_includes(sources):
    bad = []
    for path in sources:
        rule = rule_of(path)
        if rule is None:
            bad.append(f"{path}: no rule says what this folder may include (tests/lint/lint.py)")
            continue
        folders, libraries = ALLOWED[rule]
        for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
            own = re.match(r'#include "([^"]+)"', line)
            if own and not any(own.group(1).startswith(f + "/") for f in folders):
                bad.append(f"{path}:{number}: {rule} may not include {own.group(1)}")
            system = re.match(r"#include <([^>]+)>", line)
            if system:
                kinds = [k for k, pattern in LIBRARIES.items() if re.fullmatch(pattern, system.group(1))]
                if kinds and not any(k in libraries for k in kinds):
                    bad.append(f"{path}:{number}: {rule} may not include <{system.group(1)}>")
    return bad


def compile_flags():
    """Include and define flags per folder, out of build/compile_commands.json."""
    database = json.loads(pathlib.Path("build/compile_commands.json").read_text())
    flags = set()
    for entry in database:
        for flag in re.findall(r"(?:-isystem ?\S+|-I\S+)", entry["command"]):
            if flag.startswith("-I") and not flag[2:].startswith("/"):
                continue
            flags.add(flag)
    out = []
    for flag in sorted(flags):
        out += flag.replace("-isystem", "-isystem ").split()
    return out


def check_headers(headers):
    flags = compile_flags()

    def one(header):
        r = run("g++", "-std=c++20", "-fsyntax-only", "-march=x86-64-v3", "-I.", *flags, "-x", "c++", "-include",
                "rte_config.h", header)
        return [f"{header}: does not compile alone\n{r.stderr[:800]}"] if r.returncode else []

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(one, headers) for line in lines]


def check_format(sources):
    bad = []
    for start in range(0, len(sources), 40):
        r = run("clang-format-16", "--dry-run", "-Werror", *sources[start:start + 40])
        bad += sorted({line.split(":")[0] + ": not formatted (scripts/dev format)"
                       for line in r.stderr.splitlines() if "error:" in line})
    return bad


def changed(sources):
    base = run("git", "merge-base", "HEAD", "origin/main").stdout.strip()
    if not base:
        base = run("git", "rev-parse", "--verify", "-q", "HEAD~1").stdout.strip()
    if not base:
        return sources
    names = set(run("git", "diff", "--name-only", base).stdout.split())
    return [s for s in sources if s in names]


def check_tidy(sources):
    database = {os.path.normpath(os.path.join(e["directory"], e["file"]))
                for e in json.loads(pathlib.Path("build/compile_commands.json").read_text())}
    units = [s for s in sources if s.endswith(".cc") and str(ROOT / s) in database]

    def one(unit):
        r = run("clang-tidy-16", "-p", "build", "--quiet", "--extra-arg=-Wno-unknown-warning-option",
                "--extra-arg=-Wno-ignored-optimization-argument", unit)
        lines = [x for x in r.stdout.splitlines() if re.search(r"(warning|error):", x)]
        return lines if r.returncode or lines else []

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return sorted({line for lines in pool.map(one, units) for line in lines})


def main():
    sources = files("*.cc", "*.h")
    everything = "all" in sys.argv[1:]
    if not pathlib.Path("build/compile_commands.json").exists():
        sys.exit("lint: no build/compile_commands.json: run scripts/dev build first")
    checks = [
        ("includes", lambda: check_includes(sources)),
        ("headers", lambda: check_headers([s for s in sources if s.endswith(".h")])),
        ("format", lambda: check_format(sources)),
        ("tidy", lambda: check_tidy(sources if everything else changed(sources))),
    ]
    failed = False
    for name, check in checks:
        bad = check()
        print(f"lint {name}: {'clean' if not bad else str(len(bad)) + ' findings'}")
        for line in bad:
            print("  " + line)
        failed |= bool(bad)
    sys.exit(1 if failed else 0)


main()

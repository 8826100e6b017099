#!/usr/bin/env python3
"""probe.py echo ADDR PORT | probe.py probe ADDR PORT COUNT INTERVAL_MS | probe.py stalls CPU

The probe sends numbered datagrams at a steady rate and counts the echoes. It prints one JSON line: sent, lost, the
longest gap between two echoes in ms, when that gap began (seconds after the start), the prober's own longest pause (a gap
that is no longer than this says nothing about the network), and round trips in ms. `stalls` writes each time that it was
kept from running on the CPU for more than 10 ms, in ms a line.
"""
import json
import os
import select
import socket
import struct
import sys
import time

if sys.argv[1] == "stalls":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    turn = time.monotonic()
    while True:
        time.sleep(0.004)
        before, turn = turn, time.monotonic()
        if turn - before > 0.014:
            os.write(1, f"{(turn - before - 0.004) * 1000:.1f}\n".encode())

mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

if mode == "echo":
    s.bind((address, port))
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(2048)
        s.sendto(data, peer)

count, interval = int(sys.argv[4]), float(sys.argv[5]) / 1000
s.connect((address, port))
s.setblocking(False)
start = time.monotonic()
sent = 0
pause = 0.0
arrived, rtts = {}, []
last_turn = start
end = None
while True:
    now = time.monotonic()
    if end is None:
        pause = max(pause, now - last_turn)
    last_turn = now
    while sent < count and now >= start + sent * interval:
        try:
            s.send(struct.pack("!Id", sent, time.monotonic()))
        except OSError:
            pass  # an ICMP error for an earlier one, or a full queue: the echo is missing, that's what is counted
        sent += 1
        now = time.monotonic()
    if sent == count and end is None:
        end = now + 1.0
    if end is not None and (now > end or len(arrived) == count):
        break
    wait = max(0.0, (start + sent * interval if sent < count else end) - time.monotonic())
    if select.select([s], [], [], wait)[0]:
        while True:
            try:
                data = s.recv(2048)
            except BlockingIOError:
                break
            except OSError:
                continue
            now = time.monotonic()
            number, at = struct.unpack("!Id", data)
            if number not in arrived:
                arrived[number] = now - start
                rtts.append((now - at) * 1000)

times = sorted([0.0, *arrived.values()])
gaps = [(b - a, a) for a, b in zip(times, times[1:])] or [(count * interval, 0.0)]
gap, gap_at = max(gaps)
rtts.sort()
print(json.dumps({
    "sent": sent, "lost": sent - len(arrived), "gap_ms": round(gap * 1000, 1), "gap_at_s": round(gap_at, 3),
    "pause_ms": round(pause * 1000, 1), "rtt_p50_ms": round(rtts[len(rtts) // 2], 3) if rtts else None,
    "rtt_p99_ms": round(rtts[len(rtts) * 99 // 100], 3) if rtts else None,
}))

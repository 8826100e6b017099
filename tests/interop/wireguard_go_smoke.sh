#!/bin/sh
# usage: wireguard_go_smoke.sh PROGRAM. Both sides in one network namespace that dies with this script.
set -eu
program=$1
if [ "$(id -u)" != 0 ] || ! command -v wireguard-go > /dev/null || ! command -v wg > /dev/null || [ ! -e /dev/net/tun ]; then
  echo "needs root, wireguard-go, wg and /dev/net/tun: skipped"
  exit 77
fi
if [ -z "${CULVERT_SMOKE_INSIDE:-}" ]; then
  CULVERT_SMOKE_INSIDE=1 exec unshare --net --mount --pid --mount-proc --fork --kill-child "$0" "$program"
fi

mkdir -p /run/wireguard
mount -t tmpfs none /run/wireguard
dir=$(mktemp -d /tmp/wgh-smoke.XXXXXX)
trap 'rm -rf "$dir"' EXIT
ip link set lo up
umask 077
for key in ours theirs; do wg genkey > "$dir/$key"; wg pubkey < "$dir/$key" > "$dir/$key.pub"; done
wg genpsk > "$dir/psk"

for mode in initiate wait; do
  LOG_LEVEL=error wireguard-go -f wgsmoke > "$dir/log" 2>&1 &
  peer=$!
  tries=0
  while ! wg show wgsmoke > /dev/null 2>&1; do
    tries=$((tries + 1)); [ $tries -lt 100 ] || { echo "wireguard-go does not start"; cat "$dir/log"; exit 1; }
    sleep 0.05
  done
  endpoint=
  [ $mode = wait ] && endpoint="endpoint 127.0.0.1:51871"
  # shellcheck disable=SC2086
  wg set wgsmoke listen-port 51870 private-key "$dir/theirs" peer "$(cat "$dir/ours.pub")" preshared-key "$dir/psk" \
    allowed-ips 10.1.0.2/32 $endpoint
  ip address add 10.1.0.1/24 dev wgsmoke
  ip link set wgsmoke up mtu 1420
  pinger=
  if [ $mode = wait ]; then (sleep 0.5; ping -q -i 0.02 -c 300 -w 10 10.1.0.2 > "$dir/ping" 2>&1) & pinger=$!; fi
  echo "mode $mode"
  "$program" "$dir/ours" "$(cat "$dir/theirs.pub")" "$dir/psk" 51871 51870 12 $mode
  if [ -n "$pinger" ]; then
    wait "$pinger" || true
    grep transmitted "$dir/ping"
    grep -qE ' (29[0-9]|300) received' "$dir/ping" || { echo "the peer's own pings were lost"; exit 1; }
  fi
  kill "$peer"
  wait "$peer" 2> /dev/null || true
done

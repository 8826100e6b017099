#!/bin/sh
# DPDK's crypto plugins load the distribution's IPsec-MB; a symbol of our own copy, exported by the program, would take
# the place of theirs. usage: exported_symbols.sh PROGRAM...
status=0
for program in "$@"; do
  nm "$program" | grep -qiE ' [tT] (imb_|.*_mb_mgr)' || { echo "$program: holds no IPsec-MB at all; nothing is tested"; status=1; }
  if nm -D --defined-only "$program" | grep -iE ' (imb_|.*_mb_mgr|.*_avx(2|512)$|.*_sse$)'; then
    echo "$program: exports the above symbols of IPsec-MB"
    status=1
  fi
done
exit $status

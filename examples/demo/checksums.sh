#!/bin/sh
# One line for each entry below the given paths: kind, mode, time, digest or link target, name; names and targets in hex, since
# they may hold anything. Run in a pod and in a restored copy, the two outputs are equal or the backup is wrong.
#   kubectl exec -i -n demo demo-app-0 -- sh -c "cd / && sh -s -- data/etc data/log" <checksums.sh
#   cd RESTORED && sh checksums.sh data/etc data/log
set -eu
export LC_ALL=C
find "$@" -exec sh -c '
  hex() { od -An -v -tx1 | tr -d " \n"; }
  for path do
    name=$(printf %s "$path" | hex)
    if [ -L "$path" ]; then
      echo "link - - $(readlink -n "$path" | hex) $name"
    elif [ -d "$path" ]; then
      echo "directory $(stat -c "%a %Y" "$path") - $name"
    elif [ -f "$path" ]; then
      echo "file $(stat -c "%a %Y" "$path") $(sha256sum <"$path" | cut -d " " -f 1) $name"
    else
      echo "other - - - $name"
    fi
  done
' sh {} + | sort

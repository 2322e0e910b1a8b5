#!/bin/bash
# Boots the box of one Drawbridge session. create wrote this; it holds presigned URLs and digests, no key.
# Whatever goes wrong, the machine shuts down, and shutting down terminates it.
shutdown -h +@MINUTES@ || { shutdown -h now || poweroff -f; exit 1; }

program_url='@PROGRAM_URL@'
program_sha256='@PROGRAM_SHA256@'
orders_url='@ORDERS_URL@'
orders_sha256='@ORDERS_SHA256@'
extra_ca='@EXTRA_CA@'

trap 'shutdown -h now' EXIT
umask 077

metadata=http://169.254.169.254/latest
program=/var/lib/drawbridge/drawbridge-jumpbox
orders=/run/drawbridge/orders.json
table=2202       # the private interface's own routing table
priority=90      # before the rules that Amazon Linux makes, from 10000 on

say() { printf 'drawbridge: %s\n' "$*"; }
fail() { say "$*; shutting down"; exit 1; }

# Nothing but the box's program may answer on port 22, and nobody manages this machine. The security group lets nobody
# in before the box has reported.
stop_stock_access() {
  if command -v systemctl >/dev/null; then
    for unit in sshd.socket sshd.service ssh.socket ssh.service amazon-ssm-agent.service; do
      systemctl stop "$unit"; systemctl mask "$unit"
    done >/dev/null 2>&1
  fi
  # State 0A is LISTEN, 0016 is 22.
  if grep -qE '^ *[0-9]+: [0-9A-F]+:0016 [0-9A-F]+:0000 0A ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
    fail "something listens on port 22 already"
  fi
}

get_token() {
  token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 3600' "$metadata/api/token")
}

# The token goes through standard input: command lines can be read by everyone on the machine.
ask_metadata() {
  printf 'header = "X-aws-ec2-metadata-token: %s"\n' "$token" | curl -sf -m 2 -K - "$metadata/meta-data/$1"
}

# Sets mac, address and subnet of the interface with device number 1, when the metadata has it.
look_for_interface() {
  local number
  for mac in $(ask_metadata network/interfaces/macs/); do
    mac=${mac%/}
    number=$(ask_metadata "network/interfaces/macs/$mac/device-number")
    [ "$number" = 1 ] || continue
    address=$(ask_metadata "network/interfaces/macs/$mac/local-ipv4s")
    subnet=$(ask_metadata "network/interfaces/macs/$mac/subnet-ipv4-cidr-block")
    address=${address%%$'\n'*}
    [ -n "$address" ] && [ -n "$subnet" ] && find_device
    return
  done
  return 1
}

# The machine's name of the interface with this MAC.
find_device() {
  local file
  for file in /sys/class/net/*/address; do
    [ "$(cat "$file" 2>/dev/null)" = "$mac" ] || continue
    device=${file%/address}
    device=${device##*/}
    return
  done
  return 1
}

wait_for_interface() {
  local round
  for round in $(seq 600); do
    if [ -n "$token" ] || get_token; then look_for_interface && return; fi
    sleep 0.5
  done
  fail "no second interface came within five minutes"
}

has_address() { ip -4 addr show dev "$device" | grep -qF "inet $address/"; }

# The system addresses a hot-plugged interface itself, where it can; we do not wait long for it.
set_address() {
  local round
  ip link set dev "$device" up
  for round in $(seq 10); do has_address && return; sleep 0.5; done
  ip addr add "$address/${subnet#*/}" dev "$device"
}

# S3 has public addresses, and the machine's default route leads out of the public interface, which lets nothing
# out. So what is bound to the private interface or its address has routes of its own.
set_routes() {
  local a b c d
  IFS=./ read -r a b c d _ <<<"$subnet"
  ip route replace "$subnet" dev "$device" src "$address" table $table
  ip route replace default via "$a.$b.$c.$((d + 1))" dev "$device" table $table
  ip rule add priority $priority from "$address" lookup $table 2>/dev/null
  ip rule add priority $((priority + 1)) oif "$device" lookup $table 2>/dev/null
  return 0
}

# systemd-networkd removes rules that it does not know whenever it is reloaded, so they are set again and again.
keep_routes() { while sleep 5; do set_routes; done; }

# trust_extra_ca: whom the downloads trust besides the system's CAs, if the stack names somebody. curl takes one file.
trust_extra_ca() {
  [ -n "$extra_ca" ] || return 0
  export CURL_CA_BUNDLE=${orders%/*}/trusted.pem
  cat /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt >"$CURL_CA_BUNDLE" 2>/dev/null
  printf '%s\n' "$extra_ca" >>"$CURL_CA_BUNDLE"
}

# fetch NAME URL SHA256 FILE: a presigned URL is a key, so it goes through standard input.
fetch() {
  local round
  for round in $(seq 60); do
    if printf 'url = "%s"\n' "$2" | curl -sSf --interface "$address" --connect-timeout 3 -m 120 -o "$4" -K -; then
      printf '%s  %s\n' "$3" "$4" | sha256sum -c --status || fail "the $1 has another digest than was ordered"
      return
    fi
    sleep 1
  done
  fail "the $1 could not be fetched"
}

say "armed: shutting down in @MINUTES@ minutes at the latest"
stop_stock_access
mkdir -p "${program%/*}" "${orders%/*}"
wait_for_interface
set_address
set_routes
keep_routes &
say "private interface $device has $address"
trust_extra_ca
fetch program "$program_url" "$program_sha256" "$program"
fetch orders "$orders_url" "$orders_sha256" "$orders"
unset program_url orders_url
chmod 0500 "$program"
say "starting the box"
"$program" --orders "$orders" --interface "$device"
say "the box ended with status $?; shutting down"

#!/bin/bash
# systemctl of a guest without systemd: no service runs, so stopping and masking one is done already.
verb=''
for argument in "$@"; do
    [[ $argument == -* ]] || { verb=$argument; break; }
done
case $verb in
poweroff | halt) exec /usr/sbin/poweroff ;;
reboot) exec /usr/sbin/reboot ;;
stop | disable | mask | unmask | kill | daemon-reload | reset-failed) exit 0 ;;
is-active) echo inactive; exit 3 ;;
is-enabled) echo disabled; exit 1 ;;
*) echo "Failed to $verb: no service manager runs in this guest" >&2; exit 5 ;;
esac

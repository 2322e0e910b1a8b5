#!/bin/bash
# systemctl of a guest without systemd. It knows the units of the image's stock services, each a file in /run/units with the
# id of its process, empty while none runs. Only stopping a unit by its name ends that process.
units=/run/units masks=/etc/systemd/system
verb='' now='' failed=0 names=()
for argument in "$@"; do
    case $argument in
    --now) now=1 ;;
    -*) ;;
    *) if [[ $verb ]]; then names+=("$argument"); else verb=$argument; fi ;;
    esac
done

is_known() { [[ -e $units/$1 ]]; }

# As systemd: whoever asked goes on when the process has ended.
stop() {
    local process
    if ! is_known "$1"; then
        echo "Failed to stop $1: Unit $1 not loaded." >&2
        failed=5
        return
    fi
    process=$(<"$units/$1")
    if [[ $process ]]; then
        kill "$process" 2>/dev/null
        while kill -0 "$process" 2>/dev/null; do read -rt 0.01 <> <(:); done
    fi
    : >"$units/$1"
}

mask() {
    is_known "$1" || echo "Unit $1 does not exist, proceeding anyway." >&2
    mkdir -p "$masks"
    ln -sfn /dev/null "$masks/$1"
}

is_active() {
    local process=''
    is_known "$1" && process=$(<"$units/$1")
    if [[ $process ]] && kill -0 "$process" 2>/dev/null; then echo active; else echo inactive; failed=3; fi
}

case $verb in
poweroff | halt) exec /usr/sbin/poweroff ;;
reboot) exec /usr/sbin/reboot ;;
daemon-reload | reset-failed) exit 0 ;;
stop | disable | mask | is-active) ;;
*) echo "Failed to $verb: no service manager runs in this guest" >&2; exit 5 ;;
esac
for name in "${names[@]}"; do
    [[ $name == *.* ]] || name+=.service
    case $verb in
    stop) stop "$name" ;;
    mask) mask "$name" ;;
    is-active) is_active "$name" ;;
    esac
    [[ $now ]] && stop "$name"
done
exit "$failed"

#!/bin/bash
# shutdown, poweroff, halt and reboot of a guest: at once, in minutes (+N) or at a time (hh:mm), and -c to call it off.
signal=TERM when='' timer=/run/shutdown-timer
[[ ${0##*/} == reboot ]] && signal=HUP
[[ ${0##*/} == shutdown ]] || when=now

cancel() {
    [[ -s $timer ]] && kill -- "-$(<"$timer")" 2>/dev/null # its whole session, the sleep included
    rm -f "$timer"
}

for argument in "$@"; do
    case $argument in
    -c) cancel; exit 0 ;;
    -r) signal=HUP ;;
    -*) ;;
    *) when=${when:-$argument} ;;
    esac
done

case ${when:-+1} in
now | +0) kill -"$signal" 1; exit 0 ;;
+*) seconds=$((10#${when:1} * 60)) ;;
*:*) seconds=$(($(date -d "$when" +%s) - $(date +%s))); ((seconds < 0)) && ((seconds += 86400)) ;;
'') seconds=60 ;;
*) echo "shutdown: cannot parse the time ${when@Q}" >&2; exit 1 ;;
esac
cancel
setsid bash -c "sleep $seconds; kill -$signal 1" </dev/null >/dev/null 2>&1 &
echo $! >"$timer"
echo "Shutdown scheduled for $(date -d "+$seconds seconds"), use 'shutdown -c' to cancel." >&2

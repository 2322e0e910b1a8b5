#!/bin/bash
# The guest's first process: starts the stock services, runs the user data once, collects orphans, and ends the machine when told.
# Its exit code tells the instance host why: 42 powered off, 43 reboot. SIGTERM powers off, SIGHUP reboots.
cd /

finish() {
    trap '' TERM HUP
    kill -TERM -1 2>/dev/null
    for _ in {1..20}; do
        kill -0 -1 2>/dev/null || break
        read -rt 0.05 <> <(:)
    done
    exit "$1"
}
trap 'finish 42' TERM
trap 'finish 43' HUP
touch /run/guest-ready # from here on the instance host takes the guest for running, and lets commands in

# Stands in for what Amazon Linux starts before user data runs; systemctl.sh ends it. Its sshd.socket is there and not started.
mkdir /run/units
: >/run/units/sshd.socket
(exec -a /usr/sbin/sshd /usr/bin/python3 -IS /usr/sbin/guest-sshd /run/units/sshd.service)
(exec -a /usr/bin/amazon-ssm-agent sleep infinity) &
echo $! >/run/units/amazon-ssm-agent.service

user_data=/var/lib/cloud/instance/user-data.txt
if [[ $FIRST_BOOT == 1 && -s $user_data ]]; then
    (
        unset FIRST_BOOT
        if [[ $(head -c 2 "$user_data") == '#!' ]]; then
            chmod 700 "$user_data"
            "$user_data" </dev/null
            echo "cloud-init: user data ended with $?"
        else
            echo "cloud-init: user data is no script (it does not begin with #!)"
        fi
    ) > >(exec tee -a /var/log/cloud-init-output.log) 2>&1 &
fi
unset FIRST_BOOT

while :; do
    sleep infinity &
    wait $!
done

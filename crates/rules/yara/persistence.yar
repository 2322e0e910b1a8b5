rule reverse_shell {
    meta:
        description = "A one-line reverse shell in a script, a crontab or a unit"
    strings:
        $bash = /(ba)?sh\s{1,4}-i\s{1,4}[>&0-9]{1,4}\s{0,2}\/dev\/(tcp|udp)\/[0-9a-zA-Z.-]{1,253}\/[0-9]{1,5}/ ascii
        $nc = /\bnc(at)?\s{1,4}(-[a-z]{1,4}\s{1,4}){0,3}-e\s{1,4}\/bin\/(ba)?sh\b/ ascii
        $mkfifo = /mkfifo\s{1,4}\/tmp\/[a-z0-9]{1,16}\s{0,4};\s{0,4}cat\s{1,4}\/tmp\/[a-z0-9]{1,16}\s{0,4}\|\s{0,4}\/bin\/(ba)?sh\s{1,4}-i/ ascii
        $python = "socket.socket(socket.AF_INET,socket.SOCK_STREAM);s.connect((" ascii
    condition:
        any of them
}

rule download_and_run {
    meta:
        description = "A crontab or unit that fetches a script from a bare address and runs it at once"
    strings:
        // The first class is wide on purpose: of ten digits YARA-X would make ten literals to search for.
        $run = /https?:\/\/[^\/\sa-zA-Z:]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}[^\n|;]{0,120}\|\s{0,4}(ba)?sh\b/ ascii
    condition:
        $run
}

rule preloaded_rootkit {
    meta:
        description = "A line of ld.so.preload or a profile that loads a library from a directory that anybody can write"
    strings:
        $a = /LD_PRELOAD\s{0,2}=\s{0,2}["']?\/(tmp|dev\/shm|var\/tmp)\/[^\s"']{1,120}\.so\b/ ascii
    condition:
        $a
}

rule webshell_php {
    meta:
        description = "PHP that runs what a request brings: the core of most web shells"
    strings:
        $php1 = "<?php" ascii
        $php2 = "<?=" ascii
        $php3 = "<? " ascii
        $run = /\b(eval|assert|system|shell_exec|passthru|popen|proc_open|exec)\s{0,8}\(\s{0,8}@?(base64_decode\s{0,4}\(\s{0,4}|gzinflate\s{0,4}\(\s{0,4}|str_rot13\s{0,4}\(\s{0,4}){0,3}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b/ ascii
        $packed = "eval(gzinflate(base64_decode(" ascii
        $packed2 = "eval(str_rot13(gzinflate(" ascii
    condition:
        any of ($php*) and ($run or any of ($packed*))
}

rule webshell_jsp {
    meta:
        description = "JSP that runs a command from a request's parameter"
    strings:
        $jsp1 = "<%@" ascii
        $jsp2 = "<% " ascii
        $jsp3 = "<%=" ascii
        $run = /getRuntime\s{0,4}\(\s{0,4}\)\s{0,4}\.\s{0,4}exec\s{0,4}\(\s{0,4}request\s{0,4}\.\s{0,4}getParameter/ ascii
        $builder = /new\s{1,4}ProcessBuilder\s{0,4}\(\s{0,4}request\s{0,4}\.\s{0,4}getParameter/ ascii
    condition:
        any of ($jsp*) and ($run or $builder)
}

rule webshell_known {
    meta:
        description = "The title or banner of a web shell that is passed around"
    strings:
        $a = "c99shell" ascii
        $b = "r57shell" ascii
        $c = "b374k shell" ascii
        $d = "FilesMan" ascii
        $php = "<?php" ascii
    condition:
        $php and any of ($a, $b, $c, $d)
}

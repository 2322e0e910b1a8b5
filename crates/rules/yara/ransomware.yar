rule ransom_note {
    meta:
        description = "The text of a ransom note: what happened, how to pay, whom to write to"
    strings:
        $done1 = "files have been encrypted" nocase ascii wide
        $done2 = "files are encrypted" nocase ascii wide
        $done3 = "network has been encrypted" nocase ascii wide
        $done4 = "data has been stolen" nocase ascii wide
        $done5 = "data was exfiltrated" nocase ascii wide
        $pay1 = "bitcoin" nocase ascii wide fullword
        $pay2 = "monero" nocase ascii wide fullword
        $pay3 = "pay the ransom" nocase ascii wide
        $pay4 = "decryption key" nocase ascii wide
        $pay5 = "decryption tool" nocase ascii wide
        $pay6 = "decryptor" nocase ascii wide fullword
        $who1 = ".onion" nocase ascii wide
        $who2 = "tor browser" nocase ascii wide
        $who3 = "protonmail" nocase ascii wide
        $who4 = "tutanota" nocase ascii wide
        $who5 = "personal id" nocase ascii wide
    condition:
        any of ($done*) and any of ($pay*) and any of ($who*)
}

rule ransomware_kills_recovery {
    meta:
        description = "Commands with which ransomware removes what its victim could recover from"
    strings:
        $a = "vssadmin delete shadows" nocase ascii wide
        $b = "wmic shadowcopy delete" nocase ascii wide
        $c = "bcdedit /set {default} recoveryenabled no" nocase ascii wide
        $d = "wbadmin delete catalog" nocase ascii wide
        $e = "esxcli vm process kill --type=force" nocase ascii
    condition:
        any of them
}

rule ransomware_file_marker {
    meta:
        description = "The mark that a known family leaves in each file that it encrypted"
    strings:
        $wannacry = "WANACRY!" ascii
        $lockbit_note = "LockBit 3.0 the world's fastest" ascii wide
        $lockbit_note2 = "LockBit Black Ransomware" ascii wide
        $conti = "CONTI_LOG.txt" ascii wide
    condition:
        $wannacry at 0 or any of ($lockbit*) or $conti
}

rule ransom_note {
    meta:
        description = "The text of a ransom note: what happened, how to pay, whom to write to"
    strings:
        $done1 = "iles have been encrypted" ascii
        $done2 = "ILES HAVE BEEN ENCRYPTED" ascii
        $done3 = "iles are encrypted" ascii
        $done4 = "ILES ARE ENCRYPTED" ascii
        $done5 = "etwork has been encrypted" ascii
        $pay1 = "itcoin" ascii
        $pay2 = "BITCOIN" ascii
        $pay3 = "ecryption tool" ascii
        $pay4 = "ecryption key" ascii
        $who1 = ".onion" ascii
        $who2 = "or Browser" ascii
        $who3 = "protonmail" ascii
        $who4 = "ersonal ID" ascii
    condition:
        any of ($done*) and any of ($pay*) and any of ($who*)
}

rule ransomware_kills_recovery {
    meta:
        description = "Commands with which ransomware removes what its victim could recover from"
    strings:
        $a = "vssadmin delete shadows" ascii
        $b = "vssadmin Delete Shadows" ascii
        $c = "vssadmin.exe Delete Shadows" ascii
        $d = "shadowcopy delete" ascii
        $e = "recoveryenabled no" ascii
        $f = "wbadmin delete catalog" ascii
        $g = "esxcli vm process kill --type=force" ascii
    condition:
        any of them
}

rule ransomware_file_marker {
    meta:
        description = "The mark that a known family leaves in each file that it encrypted, or beside them"
    strings:
        $wannacry = { 57 41 4E 41 43 52 59 21 00 01 00 00 }
        $lockbit = "LockBit 3.0 the world's fastest" ascii
        $lockbit_black = "LockBit Black Ransomware" ascii
        $conti = "CONTI_LOG.txt" ascii
    condition:
        any of them
}

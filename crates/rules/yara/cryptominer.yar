rule cryptominer_config {
    meta:
        description = "A miner's configuration: a pool, and what only miners configure"
    strings:
        $pool1 = "stratum+tcp://" nocase ascii
        $pool2 = "stratum+ssl://" nocase ascii
        $pool3 = "pool.supportxmr.com" nocase ascii
        $pool4 = "pool.minexmr.com" nocase ascii
        $pool5 = "xmr.nanopool.org" nocase ascii
        $pool6 = "moneroocean.stream" nocase ascii
        $mine1 = "donate-level" ascii
        $mine2 = "randomx" nocase ascii fullword
        $mine3 = "cryptonight" nocase ascii fullword
        $mine4 = "\"rig-id\"" ascii
        $mine5 = "xmrig" nocase ascii fullword
        $mine6 = "nicehash" nocase ascii fullword
    condition:
        any of ($pool*) and any of ($mine*)
}

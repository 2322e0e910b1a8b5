rule cryptominer_config {
    meta:
        description = "A miner's configuration: a pool, and what only miners configure"
    strings:
        $pool1 = "stratum+tcp://" ascii
        $pool2 = "stratum+ssl://" ascii
        $pool3 = "pool.supportxmr.com" ascii
        $pool4 = "moneroocean.stream" ascii
        $mine1 = "donate-level" ascii
        $mine2 = "randomx" ascii
        $mine3 = "cryptonight" ascii
        $mine4 = "\"rig-id\"" ascii
        $mine5 = "xmrig" ascii
    condition:
        any of ($pool*) and any of ($mine*)
}

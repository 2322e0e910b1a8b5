//! A seeded set of configuration and logs has no finding. `DRAWBRIDGE_NORMAL_MIB` makes it larger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod normal_set;
mod support;

use drawbridge_protocol::checks::ChecksConfig;
use drawbridge_rules::Rules;
use normal_set::Set;
use support::{check, found, tar};

#[test]
fn a_normal_set_has_no_finding_with_the_effects_that_a_stack_has_unless_it_says_otherwise() {
    let mebibytes: u64 = std::env::var("DRAWBRIDGE_NORMAL_MIB").map_or(16, |text| text.parse().unwrap());
    let rules = Rules::new(ChecksConfig::default(), &[], None).unwrap();
    for seed in 0..mebibytes.div_ceil(4) {
        let mut set = Set::new(seed);
        let artifact = format!("etc.web-{seed}.app.tar.zst");
        let report = check(&rules, "", &artifact, &tar(&set.files(3 << 20))).unwrap();
        assert_eq!(found(&report), Vec::<String>::new(), "seed {seed}");
        let artifact = format!("logs.web-{seed}.app.log.zst");
        let report = check(&rules, "", &artifact, &set.log(1 << 20)).unwrap();
        assert_eq!(found(&report), Vec::<String>::new(), "seed {seed}");
    }
}

//! What the box makes of rules, of the run before, and of what it measures. The rules themselves are tested where they are.

use drawbridge::transfer::ClientKey;
use drawbridge::transfer::TransferError;
use drawbridge_jumpbox::Bounds;
use drawbridge_protocol::{Baseline, Receipt, Version, checks::ChecksConfig, orders::RulesFile};

use crate::{
    s3,
    support::{Plan, Rig, noise, orders},
};

async fn rig(checks: &str, rules: &[(&str, &str)], baseline: Option<Baseline>) -> Rig {
    let plan = Plan { checks: checks.parse::<ChecksConfig>().unwrap(), ..Plan::default() };
    let (s3, key) = (s3::client().await, ClientKey::generate().unwrap());
    let mut orders = orders(&s3, &key, &plan).await;
    let file = |(name, text): &(&str, &str)| RulesFile { name: (*name).to_owned(), text: (*text).to_owned() };
    orders.rules = rules.iter().map(file).collect();
    orders.baseline = baseline.map(Box::new);
    Rig::start(s3, orders, key, Bounds::default()).await
}

/// What the client is told when the box says no.
fn refusal<T: std::fmt::Debug>(result: Result<T, TransferError>) -> String {
    result.unwrap_err().to_string()
}

fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infected_log_is_rejected_and_never_becomes_an_object_and_a_clean_one_does() {
    let rig = rig("", &[], None).await;
    let said = refusal(rig.upload("bad.web-0.app.log.zst", &eicar()).await);
    assert!(said.contains("check 'yara'") && said.contains("yara.eicar_test_file"), "{said}");
    rig.upload("good.web-0.app.log.zst", b"a line\n").await.unwrap();
    let names: Vec<_> = rig.objects().await.into_keys().collect();
    assert_eq!(names, ["bad.web-0.app.log.zst.rejected.dsse.json", "good.web-0.app.log.zst"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_whose_rules_do_not_compile_takes_nothing_and_says_why() {
    let broken = rig("", &[("house.yar", "rule x {\n condition: nonsense }")], None).await;
    let said = refusal(broken.upload("a.web-0.app.log.zst", b"a line\n").await);
    assert!(said.contains("rules/house.yar") && said.contains("nonsense"), "{said}");
    assert!(broken.objects().await.is_empty());
    let rule = r#"rule x { meta: effect = "reject" strings: $a = "forbidden" condition: $a }"#;
    let whole = rig("", &[("house.yar", rule)], None).await;
    assert!(refusal(whole.upload("a.web-0.app.log.zst", b"forbidden\n").await).contains("yara.x"));
    whole.upload("b.web-0.app.log.zst", b"allowed\n").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_carries_what_the_next_run_is_compared_with() {
    let first = rig("", &[], None).await;
    let text = b"2026-11-22T10:00:00Z a line of a log\n".repeat(3_000);
    let one = first.upload("logs.web-0.app.log.zst", &text).await.unwrap();
    let two = first.upload("logs.web-1.app.log.zst", &text).await.unwrap();
    let entries = [one.entry(), two.entry()];
    let sealed = first.uploader().await.commit(&entries).await.unwrap();
    let Receipt { session, sealed_at, sources, .. } = sealed.receipt().clone();
    let logs = &sources["logs"];
    assert_eq!((logs.artifacts, logs.files, logs.dense, logs.bytes), (2, 2, 0, 2 * text.len() as u64));

    let baseline = Baseline { version: Version, session, sealed_at, sources };
    let more = "high_entropy=off,log_control_bytes=off,baseline_entropy=reject";
    let second = rig(more, &[], Some(baseline)).await;
    let said = refusal(second.upload("logs.web-0.app.log.zst", &noise(100_000)).await);
    assert!(said.contains("check 'baseline_entropy'"), "{said}");
    second.upload("logs.web-1.app.log.zst", &text).await.unwrap();
}

//! Closed stays closed, however long ago it was.

use drawbridge_protocol::{CreateRequest, session::Refusal};
use serde_json::Value;

use super::{OTHER_KEY, Stack, is_ready, refusal, request};

const DAYS: u32 = 4000;

/// What the shipped lifecycle of the state bucket has removed of it after so many days.
fn expire(stack: &Stack, days: u32) {
    stack.world.pass(i64::from(days) * 24 * 3600);
    let template = include_str!("../../../../infra/drawbridge.template.json");
    let template: Value = serde_json::from_str(template).unwrap();
    let bucket = &template["Resources"]["StateBucket"]["Properties"];
    let mut inner = stack.world.inner();
    for rule in bucket["LifecycleConfiguration"]["Rules"].as_array().unwrap() {
        if rule["ExpirationInDays"].as_u64().is_some_and(|after| after <= u64::from(days)) {
            let prefix = rule["Prefix"].as_str().unwrap_or_default();
            inner.objects.retain(|key, _| !key.starts_with(prefix));
        }
    }
}

#[tokio::test]
async fn a_closed_session_gets_no_box_years_later_for_no_key() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.close_until_destroyed(1).await;
    expire(&stack, DAYS);
    let of_days = stack.world.inner().objects.keys().filter(|key| key.starts_with("days/")).count();
    assert_eq!(of_days, 0, "the lifecycle removes what it is for");
    for client_key in [request(1).client_key, OTHER_KEY.parse().unwrap()] {
        let again = CreateRequest { client_key, ..request(1) };
        assert_eq!(refusal(&stack.create(&again).await.unwrap()), Some(Refusal::SessionEnded));
    }
    assert!(is_ready(&stack.ask_until_settled(&request(2), 2).await));
}

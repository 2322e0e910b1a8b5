//! What is taken for a CA, and what is not.

#![allow(clippy::unwrap_used)]

use drawbridge_protocol::ExtraCa;

const CA: &str = include_str!("certificates/ca.pem");
const SERVER: &str = include_str!("certificates/server.pem");
const EXPIRED: &str = include_str!("certificates/expired.pem");

fn refusal(text: &str) -> String {
    text.parse::<ExtraCa>().unwrap_err().to_string()
}

#[test]
fn a_ca_s_certificate_is_taken_and_written_anew() {
    let ca: ExtraCa = CA.parse().unwrap();
    assert_eq!(ca.as_pem(), CA);
    let twice: ExtraCa = format!("\n{CA}\n{CA}").parse().unwrap();
    assert_eq!(twice.as_pem(), format!("{CA}{CA}"));
}

#[test]
fn what_is_no_ca_is_refused() {
    assert!(refusal(SERVER).contains("certificate 1 of it is no CA's"), "{}", refusal(SERVER));
    assert!(refusal(&format!("{CA}{SERVER}")).contains("certificate 2 of it is no CA's"));
    assert!(refusal(EXPIRED).contains("has expired"), "{}", refusal(EXPIRED));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let key = CA.replace("CERTIFICATE", "PRIVATE KEY");
    assert!(refusal(&key).contains("private key"), "{}", refusal(&key));
    assert!(refusal(&format!("{CA}{key}")).contains("private key"));
    let cut = &CA[..CA.len() / 2];
    for text in ["", "\n", "not PEM", cut] {
        assert!(refusal(text).contains("expected certificates as PEM"), "{text}: {}", refusal(text));
    }
    let empty = refusal("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(empty.contains("certificate 1 of it cannot be read"), "{empty}");
}

#[test]
fn what_user_data_has_no_room_for_is_refused() {
    let largest = format!("{CA}{}", "\n".repeat(ExtraCa::MAX_BYTES - CA.len()));
    assert!(largest.parse::<ExtraCa>().is_ok());
    assert!(refusal(&format!("{largest}\n")).contains("more than the 2048 allowed"));
}

#[test]
fn a_document_that_holds_another_certificate_is_refused_whole() {
    let read = |text: &str| serde_json::from_value::<ExtraCa>(serde_json::json!(text));
    assert_eq!(read(CA).unwrap().as_pem(), CA);
    assert!(read(SERVER).is_err());
}

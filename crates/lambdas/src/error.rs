//! What ends an invocation without an answer. The caller asks again; everything is idempotent.

use drawbridge_protocol::{ProtocolError, SessionId};

use crate::{
    certify::SignError, config::ConfigError, events::EventError, machines::Ec2Error, names::InstanceId,
    posture::shipped::ShippedError, rules::RulesFileError, store::StoreError, user_data::UserDataError,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Shipped(#[from] ShippedError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Ec2(#[from] Ec2Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    UserData(#[from] UserDataError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error(
        "the saved state of session {session} cannot be read ({why}): close the session and open another"
    )]
    State { session: SessionId, why: String },
    #[error("the count of the day's sessions, '{key}' in the state bucket, cannot be used: {why}")]
    Day { key: String, why: String },
    #[error("the security group of session {session} exists but cannot be found by its tags yet: ask again")]
    Group { session: SessionId },
    #[error("instance {instance} runs without a public address: check the public subnet and its route table")]
    NoPublicAddress { instance: InstanceId },
    #[error("the box's program cannot be read from '{path}': package it beside the bootstrap ({why})")]
    Program { path: String, why: String },
    #[error(transparent)]
    Rules(#[from] RulesFileError),
}

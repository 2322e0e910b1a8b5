//! Schemas that derive cannot express.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A time that may be absent.
pub(super) fn optional_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}

/// A time that is always there.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// A guarantee's state that may be absent.
pub(super) fn optional_known_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Holds", "Broken"], "nullable": true })
}

/// The paths of a `files` source. The rules are on each item, so that the message names what is wrong with it.
pub(super) fn absolute_paths(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "Absolute paths in the container. Each is gathered with all that lies below it.",
        "minItems": 1,
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 512,
            "x-kubernetes-validations": [
                { "rule": "self.startsWith('/')", "message": "a path must be absolute: begin it with '/'" },
                {
                    "rule": "!self.matches('(^|/)[.][.](/|$)')",
                    "message": "a path must not climb: write it without '..'"
                },
                {
                    "rule": "!self.matches('[[:cntrl:]]')",
                    "message": "a path must not hold control characters"
                }
            ]
        }
    })
}

/// The patterns that a `files` source leaves out.
pub(super) fn exclude_patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "Patterns of names that tar leaves out (its --exclude).",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "x-kubernetes-validations": [{
                "rule": "!self.matches('[[:cntrl:]]')",
                "message": "a pattern must not hold control characters"
            }]
        }
    })
}

/// Names of containers, bounded.
pub(super) fn container_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "Only containers of these names; absent: all of them.",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" }
    })
}

/// `matchLabels`, bounded.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "Labels that must be equal.",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 }
    })
}

/// A list of label values, bounded.
pub(super) fn label_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 64, "items": { "type": "string", "maxLength": 63 } })
}

/// Ids of guarantees, bounded.
pub(super) fn guarantees(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 48, "pattern": "^[a-z0-9-]+$" }
    })
}

/// A list of namespaces, bounded.
pub(super) fn namespaces(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "Names of namespaces.",
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" }
    })
}

/// The stack's certificate of the key that signed. It is for verifiers, not for the API server.
pub(super) fn certificate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "The stack's certificate of the session's key; it goes into the envelope's signature.",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// The signed envelope, kept as the box made it. It is for verifiers, not for the API server.
pub(super) fn envelope(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "The signed receipt, a DSSE envelope.",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

//! The judges of the buckets.

use serde_json::{Value, json};

use super::{Checker, Judged, NotHeld, Thing, expect, policy, short};

impl Checker {
    pub(super) async fn bucket_policy(&self, file: &'static str, bucket: &str) -> Judged {
        let found = self.see(Thing::BucketPolicy(bucket.to_owned())).await?;
        self.as_shipped(file, &format!("bucket {bucket}"), &found, "PutBucketPolicy")
    }

    /// A document that must be one of the shipped files.
    pub(super) fn as_shipped(&self, file: &'static str, of: &str, found: &Value, event: &str) -> Judged {
        let shipped = self.shipped.policy(file);
        match policy::difference(shipped, found) {
            None => Ok(format!("as infra/policies/{file}.json, {} statements", policy::count(shipped))),
            Some(difference) => Err(NotHeld::broken(
                format!("the policy of {of} to be infra/policies/{file}.json"),
                difference,
                format!("put it back and find in CloudTrail who called {event}"),
            )),
        }
    }

    pub(super) async fn public_access(&self, bucket: &str) -> Judged {
        let found = self.see(Thing::PublicAccess(bucket.to_owned())).await?;
        let all = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"];
        for block in all {
            expect(&format!("{block} of bucket {bucket} to be"), &json!(true), &found[block], || {
                "put the public access block back and find in CloudTrail who called PutBucketPublicAccessBlock"
                    .to_owned()
            })?;
        }
        Ok("all four blocks are on".to_owned())
    }

    pub(super) async fn ownership(&self, bucket: &str) -> Judged {
        let found = self.see(Thing::Ownership(bucket.to_owned())).await?;
        expect(
            &format!("the ownership of bucket {bucket} to be"),
            &json!("BucketOwnerEnforced"),
            &found,
            || {
                "put the ownership controls back: with another value access control lists count again"
                    .to_owned()
            },
        )?;
        Ok("BucketOwnerEnforced".to_owned())
    }

    pub(super) async fn encryption(&self, bucket: &str) -> Judged {
        let found = self.see(Thing::Encryption(bucket.to_owned())).await?;
        let expected = json!({"Algorithm": "AES256", "Key": null});
        expect(&format!("the default encryption of bucket {bucket} to be"), &expected, &found, || {
            "put the bucket's encryption back and find in CloudTrail who called PutBucketEncryption".to_owned()
        })?;
        Ok("AES256".to_owned())
    }

    /// Versioning and lock are what the stack was deployed with: a lock that was taken away leaves backups deletable,
    /// and versioning that nobody asked for keeps what a lifecycle should remove.
    pub(super) async fn lock(&self) -> Judged {
        let bucket = &self.shipped.names.backup_bucket;
        let mut found = self.see(Thing::Lock(bucket.clone())).await?;
        // Versioning can be suspended and never taken back; what is put then has no versions either.
        if self.shipped.lock_days.is_none() && found["Versioning"] == "Suspended" {
            found["Versioning"] = Value::Null;
        }
        let expected = match self.shipped.lock_days {
            Some(days) => json!({"Versioning": "Enabled", "Mode": "COMPLIANCE", "Days": days}),
            None => json!({"Versioning": null, "Mode": null, "Days": null}),
        };
        expect(&format!("versioning and lock of bucket {bucket} to be"), &expected, &found, || {
            "put them back, or deploy the stack with what you want, and find in CloudTrail who changed them"
                .to_owned()
        })?;
        Ok(self.shipped.lock_days.map_or_else(
            || "not versioned, not locked, as deployed".to_owned(),
            |days| format!("locked for {days} days"),
        ))
    }

    /// Unfinished uploads go after a day, and nothing else goes.
    pub(super) async fn lifecycle(&self) -> Judged {
        let bucket = &self.shipped.names.backup_bucket;
        let found = self.see(Thing::Lifecycle(bucket.clone())).await?;
        let enabled: Vec<&Value> =
            found.as_array().into_iter().flatten().filter(|rule| rule["Enabled"] == true).collect();
        let removes = |rule: &&&Value| !rule["Expires"].is_null() || !rule["NoncurrentExpires"].is_null();
        if let Some(rule) = enabled.iter().find(removes) {
            return Err(NotHeld::broken(
                format!("no rule of bucket {bucket} that removes objects"),
                short(rule),
                "take the rule away before it removes backups; find in CloudTrail who called PutBucketLifecycle",
            ));
        }
        if !enabled.iter().any(|rule| rule["AbortsAfter"] == 1 && rule["Prefix"] == "") {
            return Err(NotHeld::broken(
                format!("a rule of bucket {bucket} that ends unfinished uploads after a day"),
                short(&found),
                "put the rule back: what is unfinished is invisible and costs storage",
            ));
        }
        Ok("unfinished uploads go after a day, nothing else goes".to_owned())
    }
}

//! The judges of the buckets.

use serde_json::{Value, json};

use super::{Checker, Judged, NotHeld, Thing, expect, expect_set, number, policy, short};

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

    pub(super) async fn encryption(&self, resource: &str, bucket: &str) -> Judged {
        let rules = ["BucketEncryption", "ServerSideEncryptionConfiguration"];
        let rules = self.shipped.template.property(resource, &rules)?;
        let default = &rules[0]["ServerSideEncryptionByDefault"];
        let expected = json!({"Algorithm": default["SSEAlgorithm"], "Key": default["KMSMasterKeyID"]});
        let found = self.see(Thing::Encryption(bucket.to_owned())).await?;
        expect(&format!("the default encryption of bucket {bucket} to be"), &expected, &found, || {
            "put the bucket's encryption back and find in CloudTrail who called PutBucketEncryption"
                .to_owned()
        })?;
        Ok(short(&expected["Algorithm"]))
    }

    /// Versioning and lock are what the stack was deployed with: a lock that was taken away leaves backups deletable,
    /// and versioning that nobody asked for keeps what a lifecycle should remove.
    pub(super) async fn lock(&self) -> Judged {
        let bucket = &self.shipped.names.backup_bucket;
        let shipped = self.shipped.template.properties("BackupBucket")?;
        let retention = &shipped["ObjectLockConfiguration"]["Rule"]["DefaultRetention"];
        let expected = json!({"Versioning": shipped["VersioningConfiguration"]["Status"], "Mode": retention["Mode"],
            "Days": number(&retention["Days"])});
        let mut found = self.see(Thing::Lock(bucket.clone())).await?;
        // Versioning can be suspended and never taken back; what is put then has no versions either.
        if expected["Versioning"].is_null() && found["Versioning"] == "Suspended" {
            found["Versioning"] = Value::Null;
        }
        expect(&format!("versioning and lock of bucket {bucket} to be"), &expected, &found, || {
            "put them back, or deploy the stack with what you want, and find in CloudTrail who changed them"
                .to_owned()
        })?;
        Ok(match expected["Days"].as_i64() {
            Some(days) => format!("locked for {days} days"),
            None => "not versioned, not locked, as deployed".to_owned(),
        })
    }

    /// The shipped rules and no others: what a rule removes, nobody has to delete.
    pub(super) async fn lifecycle(&self) -> Judged {
        let bucket = &self.shipped.names.backup_bucket;
        let rules = self.shipped.template.property("BackupBucket", &["LifecycleConfiguration", "Rules"])?;
        let expected: Vec<Value> = rules.as_array().into_iter().flatten().map(lifecycle_rule).collect();
        let number = expected.len();
        let found = self.see(Thing::Lifecycle(bucket.clone())).await?;
        expect_set(&format!("the lifecycle of bucket {bucket} to have"), expected, &found, || {
            "put the rules back before they remove backups; find in CloudTrail who called PutBucketLifecycle"
                .to_owned()
        })?;
        Ok(format!("as shipped, {number} rules"))
    }

    pub(super) async fn ended_marker(&self) -> Judged {
        let bucket = &self.shipped.names.backup_bucket;
        let path = ["NotificationConfiguration", "LambdaConfigurations"];
        let targets = self.shipped.template.property("BackupBucket", &path)?;
        let expected = targets.as_array().into_iter().flatten().map(|target| {
            json!({"Target": target["Function"], "Events": [target["Event"]],
                "Prefix": target["Filter"]["S3Key"]["Rules"][0]["Value"]})
        });
        let expected: Vec<Value> = expected.collect();
        let found = self.see(Thing::Notifications(bucket.clone())).await?;
        expect_set(&format!("the notifications of bucket {bucket} to have"), expected, &found, || {
            "put them back and find in CloudTrail who called PutBucketNotification".to_owned()
        })?;
        Ok("as shipped".to_owned())
    }
}

/// A rule as the template has it, written down as [`Thing::Lifecycle`] says.
fn lifecycle_rule(rule: &Value) -> Value {
    json!({"Id": rule["Id"], "Enabled": rule["Status"] == "Enabled",
        "Prefix": rule["Prefix"].as_str().unwrap_or_default(), "Expires": number(&rule["ExpirationInDays"]),
        "NoncurrentExpires": number(&rule["NoncurrentVersionExpiration"]["NoncurrentDays"]),
        "Markers": rule["ExpiredObjectDeleteMarker"] == true,
        "AbortsAfter": number(&rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])})
}

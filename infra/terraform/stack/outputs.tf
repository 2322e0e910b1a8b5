# Written by infra/forms/write.py from infra/template.yaml and infra/policies/; change those.

output "region" {
  value = data.aws_region.here.region
}

output "create_function_arn" {
  value       = aws_lambda_function.create_function.arn
  description = "spec.functions.create of the BackupVault"
}

output "cleanup_function_arn" {
  value       = aws_lambda_function.cleanup_function.arn
  description = "spec.functions.cleanup of the BackupVault"
}

output "posture_function_arn" {
  value       = aws_lambda_function.posture_function.arn
  description = "spec.functions.posture of the BackupVault"
}

output "sweep_function_arn" {
  value = aws_lambda_function.sweep_function.arn
}

output "marker_function_arn" {
  value = aws_lambda_function.marker_function.arn
}

output "operator_user" {
  value       = aws_iam_user.operator_user.name
  description = "Make an access key for it and give it to the chart"
}

output "operator_policy_arn" {
  value = aws_iam_policy.operator_policy.arn
}

output "operator_role_arn" {
  value       = one(aws_iam_role.operator_role[*].arn)
  description = "aws.webIdentity.roleArn of the chart"
}

output "operator_pod_role_arn" {
  value = one(aws_iam_role.operator_pod_role[*].arn)
}

output "backup_bucket" {
  value = aws_s3_bucket.backup_bucket.id
}

output "backup_key_arn" {
  value = one(aws_kms_key.backup_key[*].arn)
}

output "state_bucket" {
  value = aws_s3_bucket.state_bucket.id
}

output "jump_box_role_arn" {
  value = aws_iam_role.jump_box_role.arn
}

output "create_role_arn" {
  value = aws_iam_role.create_role.arn
}

output "cleanup_role_arn" {
  value = aws_iam_role.cleanup_role.arn
}

output "receipt_key_arn" {
  value       = one(aws_kms_key.receipt_signing_key[*].arn)
  description = "Pin its public half: aws kms get-public-key --key-id ARN --query PublicKey --output text"
}

output "posture_role_arn" {
  value = aws_iam_role.posture_role.arn
}

output "vpc_id" {
  value = aws_vpc.vpc.id
}

output "public_subnet_id" {
  value = aws_subnet.public_subnet.id
}

output "private_subnet_id" {
  value = aws_subnet.private_subnet.id
}

output "private_security_group_id" {
  value = aws_security_group.private_security_group.id
}

output "s3_endpoint_id" {
  value = aws_vpc_endpoint.s3_endpoint.id
}

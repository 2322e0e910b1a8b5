{{- /* The controller's environment. */ -}}
{{- define "drawbridge.env" -}}
{{- if and .Values.aws.credentialsSecret .Values.aws.webIdentity.roleArn -}}
{{- fail "aws.credentialsSecret and aws.webIdentity.roleArn are both set; the operator has one AWS identity, so leave one of them empty" -}}
{{- end -}}
{{- if and .Values.aws.podIdentity (or .Values.aws.credentialsSecret .Values.aws.webIdentity.roleArn) -}}
{{- fail "aws.podIdentity is true, and aws.credentialsSecret or aws.webIdentity.roleArn is set; the operator has one AWS identity, so leave one" -}}
{{- end -}}
- name: DRAWBRIDGE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: DRAWBRIDGE_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: DRAWBRIDGE_LEASE_NAME
  value: {{ include "drawbridge.fullname" . }}
- name: DRAWBRIDGE_LOG
  value: {{ .Values.logLevel }}
- name: DRAWBRIDGE_PARALLEL_UPLOADS
  value: {{ .Values.parallelUploads | quote }}
- name: DRAWBRIDGE_BACKOFF_SECONDS
  value: {{ .Values.backoffSeconds | quote }}
- name: DRAWBRIDGE_POSTURE_SECONDS
  value: {{ .Values.posture.seconds | quote }}
- name: DRAWBRIDGE_POSTURE_MAX_AGE_SECONDS
  value: {{ .Values.posture.maxAgeSeconds | quote }}
- name: DRAWBRIDGE_POSTURE_GRACE_SECONDS
  value: {{ .Values.posture.graceSeconds | quote }}
# Kubernetes kills ten seconds later.
- name: DRAWBRIDGE_SHUTDOWN_SECONDS
  value: {{ sub .Values.terminationGracePeriodSeconds 10 | quote }}
{{- with .Values.aws.region }}
- name: AWS_REGION
  value: {{ . }}
{{- end }}
{{- with .Values.aws.endpointUrl }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.aws.caConfigMap }}
- name: DRAWBRIDGE_AWS_CA_FILE
  value: /etc/drawbridge/aws-ca/ca.crt
{{- end }}
{{- with .Values.aws.credentialsSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: AWS_ACCESS_KEY_ID
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: AWS_SECRET_ACCESS_KEY
{{- end }}
{{- if .Values.aws.webIdentity.roleArn }}
- name: AWS_ROLE_ARN
  value: {{ .Values.aws.webIdentity.roleArn }}
- name: AWS_WEB_IDENTITY_TOKEN_FILE
  value: /var/run/secrets/drawbridge.dev/aws/token
- name: AWS_ROLE_SESSION_NAME
  value: drawbridge
{{- end }}
# An address that answers for the instance's own role would be an identity that nobody gave the operator.
- name: AWS_EC2_METADATA_DISABLED
  value: "true"
{{- end -}}

{{- define "drawbridge.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

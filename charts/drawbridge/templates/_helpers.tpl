{{- define "drawbridge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Cluster-wide objects carry the namespace too, so that two releases do not meet. */ -}}
{{- define "drawbridge.clusterName" -}}
{{- $full := include "drawbridge.fullname" . -}}
{{- if eq $full .Release.Namespace -}}{{ $full }}{{- else -}}{{ printf "%s-%s" .Release.Namespace $full | trunc 63 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "drawbridge.serviceAccount" -}}
{{- default (include "drawbridge.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* The hook's own account: it may set the cancel annotation and watch, and nothing of what the operator may. */ -}}
{{- define "drawbridge.drainAccount" -}}
{{- printf "%s-drain" (include "drawbridge.fullname" .) -}}
{{- end -}}

{{- define "drawbridge.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "drawbridge.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "drawbridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "drawbridge.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* Not settable: a values file cannot loosen what the pods run with. */ -}}
{{- define "drawbridge.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "drawbridge.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* The port of aws.endpointUrl, as a JSON list of one or none. */ -}}
{{- define "drawbridge.endpointPorts" -}}
{{- with .Values.aws.endpointUrl -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
[{{ default (ternary "80" "443" (eq $url.scheme "http")) $port }}]
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/* The labels that pods are found by; takes a dict of root and component. */}}
{{- define "podcorder.selector" -}}
app.kubernetes.io/name: podcorder
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of every object; takes a dict of root and component. */}}
{{- define "podcorder.labels" -}}
{{ include "podcorder.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* An image's name; takes a dict of root and image. */}}
{{- define "podcorder.image" -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) | quote }}
{{- end }}

{{/* The Secret with the webhook's certificate. */}}
{{- define "podcorder.webhookSecret" -}}
{{ eq .Values.webhook.certificate.source "Secret" | ternary .Values.webhook.certificate.secret "podcorder-webhook" }}
{{- end }}

{{/* The names of the service accounts as the API server knows their users. */}}
{{- define "podcorder.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:podcorder-operator
{{- end }}
{{- define "podcorder.agentUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:podcorder-agent
{{- end }}

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

{{/* An image's name; takes a dict of root, image and, if it is to have one, variant. */}}
{{- define "podcorder.image" -}}
{{- $repository := splitList "@" .image.repository }}
{{- $tag := splitList "@" (.image.tag | default "") }}
{{- $digest := concat (rest $repository) (rest $tag) | join "@" }}
{{- $name := first $tag | default (empty $digest | ternary .root.Chart.AppVersion "") }}
{{- $suffix := and $name .variant | empty | ternary "" (printf "-%s" .variant) }}
{{- list (first $repository) (empty $name | ternary "" (printf ":%s%s" $name $suffix)) (empty $digest | ternary "" (printf "@%s" $digest)) | join "" | quote }}
{{- end }}

{{/* The agent's image; takes the root. */}}
{{- define "podcorder.agentImage" -}}
{{ include "podcorder.image" (dict "root" . "image" .Values.agent.image "variant" (include "podcorder.agentVariant" .)) }}
{{- end }}

{{/* What the agent's image has that the plain one has not: bcc, or nothing. */}}
{{- define "podcorder.agentVariant" -}}
{{- if eq (.Values.agent.image.variant | default .Values.agent.loader) "bcc" }}bcc{{ end }}
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

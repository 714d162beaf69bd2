{{/* The labels of every object; takes a dict of root and component. */}}
{{- define "podcorder.labels" -}}
app.kubernetes.io/name: podcorder
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* The names of the service accounts as the API server knows their users. */}}
{{- define "podcorder.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:podcorder-operator
{{- end }}
{{- define "podcorder.agentUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:podcorder-agent
{{- end }}

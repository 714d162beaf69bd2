{{/*
What the hooks' pods have in common. All take a dict of root, component and hook; the component names the objects.
*/}}

{{/* Metadata of what a hook's pod needs: there before it, and gone when it has succeeded. */}}
{{- define "podcorder.hookMetadata" -}}
name: podcorder-{{ .component }}
labels:
  {{- include "podcorder.labels" . | nindent 2 }}
annotations:
  helm.sh/hook: {{ .hook }}
  helm.sh/hook-weight: "-1"
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Metadata of what runs: Helm prints what it says, and not only on request. */}}
{{- define "podcorder.hookRunMetadata" -}}
name: podcorder-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "podcorder.labels" . | nindent 2 }}
annotations:
  helm.sh/hook: {{ .hook }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end }}

{{/* The service account, bound to the ClusterRole and the Role of its name. */}}
{{- define "podcorder.hookAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "podcorder.hookMetadata" . | nindent 2 }}
  namespace: {{ .root.Release.Namespace }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $kind := list "ClusterRole" "Role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- include "podcorder.hookMetadata" $ | nindent 2 }}
  {{- if eq $kind "Role" }}
  namespace: {{ $.root.Release.Namespace }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: podcorder-{{ $.component }}
subjects:
- kind: ServiceAccount
  name: podcorder-{{ $.component }}
  namespace: {{ $.root.Release.Namespace }}
{{- end }}
{{- end }}

{{/* The spec of a pod that runs one word of the operator's command line; the dict has it as command. */}}
{{- define "podcorder.hookPod" -}}
{{- $operator := .root.Values.operator -}}
restartPolicy: Never
serviceAccountName: podcorder-{{ .component }}
priorityClassName: {{ $operator.priorityClassName | quote }}
nodeSelector:
  {{- toYaml $operator.nodeSelector | nindent 2 }}
{{- with $operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 61110
  runAsGroup: 61110
  seccompProfile: {type: RuntimeDefault}
containers:
- name: {{ .component }}
  image: {{ include "podcorder.image" (dict "root" .root "image" $operator.image) }}
  imagePullPolicy: {{ $operator.image.pullPolicy }}
  command: [podcorder-operator]
  args: [--namespace={{ .root.Release.Namespace }}, --log-level=warning, {{ .command }}]
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  resources:
    {{- toYaml $operator.resources | nindent 4 }}
{{- end }}

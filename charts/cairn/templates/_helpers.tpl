{{/* Labels of everything the chart makes. Takes (dict "root" $ "component" NAME). */}}
{{- define "cairn.labels" -}}
{{ include "cairn.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: cairn
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* What never changes: selectors. */}}
{{- define "cairn.selector" -}}
app.kubernetes.io/name: cairn
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "cairn.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The settings file's contents; a change of them rolls the pods (checksum annotation). */}}
{{- define "cairn.settings" -}}
{{ toYaml .Values.settings }}
{{- end }}

{{- define "cairn.podAnnotations" -}}
checksum/settings: {{ include "cairn.settings" .root | sha256sum }}
{{- with (index .root.Values .component).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Settings that every process gets from where it runs. */}}
{{- define "cairn.env" -}}
- name: CAIRN_CONFIG
  value: /etc/cairn/cairn.yaml
- name: CAIRN_HEALTH__HOST
  value: 0.0.0.0
- name: CAIRN_HEALTH__PORT
  value: "9774"
{{- end }}

{{- define "cairn.databaseEnv" -}}
- name: CAIRN_DATABASE__URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secret.name }}
      key: {{ .Values.database.secret.key }}
{{- end }}

{{/* /healthz: only a restart can mend it. /readyz: whether it can do its work now. */}}
{{- define "cairn.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- define "cairn.podSecurity" -}}
runAsNonRoot: true
runAsUser: 64055
runAsGroup: 64055
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cairn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas on different nodes where possible, and none where guests run. */}}
{{- define "cairn.affinity" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "cairn.selector" . | nindent 12 }}
nodeAffinity:
  {{- if eq .root.Values.awayFromHypervisors "required" }}
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: {{ .root.Values.hypervisorNodeLabel }}, operator: DoesNotExist}
  {{- else }}
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      preference:
        matchExpressions:
          - {key: {{ .root.Values.hypervisorNodeLabel }}, operator: DoesNotExist}
  {{- end }}
{{- end }}

{{/*
A Deployment of one of Cairn's replicated processes. Takes a dict:
root, component (the subcommand), account (whether the pod gets its service account's token),
env and ports (further entries, as text).
*/}}
{{- define "cairn.deployment" -}}
{{- $values := index .root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cairn-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cairn.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels: {{- include "cairn.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "cairn.labels" . | nindent 8 }}
      annotations: {{- include "cairn.podAnnotations" . | nindent 8 }}
    spec:
      serviceAccountName: cairn-{{ .component }}
      automountServiceAccountToken: {{ .account }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: 30
      securityContext: {{- include "cairn.podSecurity" . | nindent 8 }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      affinity: {{- include "cairn.affinity" . | nindent 8 }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "cairn.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [cairn, {{ .component }}]
          env:
            {{- include "cairn.env" .root | nindent 12 }}
            {{- include "cairn.databaseEnv" .root | nindent 12 }}
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
          ports:
            - {name: health, containerPort: 9774, protocol: TCP}
            {{- with .ports }}
            {{- . | nindent 12 }}
            {{- end }}
          {{- include "cairn.probes" . | nindent 10 }}
          securityContext: {{- include "cairn.containerSecurity" . | nindent 12 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: settings, mountPath: /etc/cairn, readOnly: true}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: settings
          configMap: {name: cairn-settings}
        - name: tmp
          emptyDir: {}
{{- if gt (int $values.replicas) 1 }}
---
apiVersion: {{ .root.Capabilities.APIVersions.Has "policy/v1" | ternary "policy/v1" "policy/v1beta1" }}
kind: PodDisruptionBudget
metadata:
  name: cairn-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cairn.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "cairn.selector" . | nindent 6 }}
{{- end }}
{{- end }}

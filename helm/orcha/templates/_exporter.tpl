{{/* The files of the manifests that an exporter reads, as {items: [...]}; none: all. */}}
{{- define "orcha.exporter.files" -}}
{{- $files := .Values.exporter.files -}}
{{- if and (not $files) (eq .Values.exporter.kind "DaemonSet") (eq (include "orcha.source" .) "values") -}}
{{- $files = list "node-$(NODE_NAME).yaml" -}}
{{- end -}}
{{- dict "items" $files | toYaml -}}
{{- end -}}

{{- define "orcha.exporter.container" -}}
{{- $e := .Values.exporter -}}
- name: exporter
  image: {{ include "orcha.image" (dict "image" .Values.image "tag" .Chart.AppVersion) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [orcha-exporter]
  args:
    {{- include "orcha.args.manifests" (dict "root" . "files" (include "orcha.exporter.files" . | fromYaml).items) | trim | nindent 4 }}
    - --listen={{ $e.listen }}
    - --log-format={{ $e.logFormat }}
    {{- if $e.compatStorj }}
    - --compat-storj
    {{- end }}
    {{- range $e.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    - name: NODE_NAME
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
    {{- with $e.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: exporter, containerPort: {{ include "orcha.port" $e.listen }}, protocol: TCP}
  {{- include "orcha.container.rest" (dict "values" $e) | trim | nindent 2 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- include "orcha.mounts" (dict "root" . "state" (eq $e.kind "Sidecar")) | nindent 4 }}
    {{- with $e.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The machines that manifests.nodes names, one term each: a field can only be compared with one name. */}}
{{- define "orcha.exporter.affinity" -}}
{{- if .Values.exporter.affinity -}}
{{- toYaml .Values.exporter.affinity -}}
{{- else if and (eq .Values.exporter.kind "DaemonSet") (eq (include "orcha.source" .) "values") (not .Values.exporter.files) -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      {{- range $name, $_ := .Values.manifests.nodes }}
      - matchFields:
          - {key: metadata.name, operator: In, values: [{{ $name | quote }}]}
      {{- end }}
{{- end -}}
{{- end -}}

{{/* The Pod of the exporter's own, for a Deployment and a DaemonSet. */}}
{{- define "orcha.exporter.pod" -}}
{{- $e := .Values.exporter -}}
{{- $checksum := dict "checksum/settings" (include "orcha.settings.restart" . | sha256sum) -}}
metadata:
  {{- include "orcha.pod.metadata" (dict "root" . "component" "exporter" "values" $e "annotations" (include "orcha.settings.written" . | empty | ternary dict $checksum)) | nindent 2 }}
spec:
  serviceAccountName: {{ include "orcha.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  {{- if $e.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- include "orcha.pod.rest" (dict "root" . "values" $e) | nindent 2 }}
  {{- with include "orcha.exporter.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with $e.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $git := eq (include "orcha.source" .) "gitSync" }}
  {{- if or $e.initContainers $git }}
  initContainers:
    {{- if $git }}
    {{- include "orcha.gitsync" (dict "root" . "once" true) | nindent 4 }}
    {{- end }}
    {{- with $e.initContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- include "orcha.exporter.container" . | nindent 4 }}
    {{- if $git }}
    {{- include "orcha.gitsync" (dict "root" .) | nindent 4 }}
    {{- end }}
    {{- with $e.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "orcha.volumes" (dict "root" . "state" false) | nindent 4 }}
    {{- with $e.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

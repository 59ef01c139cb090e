{{/* How Prometheus' operator scrapes one port. `job` is set to what the rules and the dashboards look for. Takes port, job, and
     monitor: serviceMonitor or podMonitor. */}}
{{- define "orcha.monitor.endpoint" -}}
- port: {{ .port }}
  path: /metrics
  {{- with .monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .monitor.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  relabelings:
    - {action: replace, targetLabel: job, replacement: {{ .job }}}
    {{- with .monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A ServiceMonitor or PodMonitor. Takes root, kind, monitor, endpoints (its field), component (of the object), of (of what is
     scraped), name, port, job. */}}
{{- define "orcha.monitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: {{ .kind }}
metadata:
  {{- include "orcha.metadata" (dict "root" .root "component" .component "name" .name "namespace" .monitor.namespace "labels" .monitor.labels "annotations" .monitor.annotations) | nindent 2 }}
spec:
  namespaceSelector:
    matchNames: [{{ .root.Release.Namespace | quote }}]
  selector:
    matchLabels:
      {{- include "orcha.selectorLabels" (dict "root" .root "component" .of) | nindent 6 }}
  {{ .endpoints }}:
    {{- include "orcha.monitor.endpoint" . | nindent 4 }}
{{- end -}}

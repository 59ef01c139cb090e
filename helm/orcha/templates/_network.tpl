{{/* A rule of egress, where there is somebody to go to. Takes to, ports, and protocols; anywhere: whether no `to` is everybody. */}}
{{- define "orcha.egress" -}}
{{- if or .to .anywhere }}
- ports:
    {{- range $port := .ports }}
    {{- range default (list "TCP") $.protocols }}
    - {port: {{ $port }}, protocol: {{ . }}}
    {{- end }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where both the controller and an exporter go: names, nodes, prices, the Git repository. */}}
{{- define "orcha.egress.shared" -}}
{{- $e := .Values.networkPolicy.egress -}}
{{- if $e.dns.enabled }}
{{- include "orcha.egress" (dict "to" $e.dns.to "ports" $e.dns.ports "protocols" (list "UDP" "TCP") "anywhere" true) }}
{{- end }}
{{- range $e.nodes }}
{{- include "orcha.egress" (dict "to" .to "ports" .ports) }}
{{- end }}
{{- if $e.prices.enabled }}
{{- include "orcha.egress" (dict "to" $e.prices.to "ports" $e.prices.ports) }}
{{- end }}
{{- if eq (include "orcha.source" .) "gitSync" }}
{{- include "orcha.egress" (dict "to" $e.git.to "ports" $e.git.ports) }}
{{- end }}
{{- with $e.extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where the controller goes: besides, the API server where it has a token, Prometheus and the database. */}}
{{- define "orcha.egress.controller" -}}
{{- $e := .Values.networkPolicy.egress -}}
{{- include "orcha.egress.shared" . }}
{{- if eq (include "orcha.automount" .) "true" }}
{{- include "orcha.egress" (dict "to" $e.kubernetesApi.to "ports" $e.kubernetesApi.ports "anywhere" true) }}
{{- end }}
{{- include "orcha.egress" (dict "to" $e.prometheus.to "ports" $e.prometheus.ports) }}
{{- include "orcha.egress" (dict "to" $e.postgresql.to "ports" $e.postgresql.ports) }}
{{- if .Values.fleet.enabled }}
{{- include "orcha.egress" (dict "to" $e.nats.to "ports" $e.nats.ports) }}
{{- end }}
{{- end -}}

{{/* Where relays go: names and the NATS servers, and nowhere else. */}}
{{- define "orcha.egress.relay" -}}
{{- $e := .Values.networkPolicy.egress -}}
{{- if $e.dns.enabled }}
{{- include "orcha.egress" (dict "to" $e.dns.to "ports" $e.dns.ports "protocols" (list "UDP" "TCP") "anywhere" true) }}
{{- end }}
{{- include "orcha.egress" (dict "to" $e.nats.to "ports" $e.nats.ports) }}
{{- with $e.extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Who may come in: those who are named, and the Pod of `helm test`. Takes root and port. */}}
{{- define "orcha.ingress" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  from:
    {{- if .root.Values.tests.enabled }}
    - podSelector:
        matchLabels:
          {{- include "orcha.selectorLabels" (dict "root" .root "component" "test") | nindent 10 }}
    {{- end }}
    {{- with .root.Values.networkPolicy.ingress.from }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The parameters of the rules: the defaults, and what values say otherwise. */}}
{{- define "orcha.parameters" -}}
{{- mergeOverwrite (.Files.Get "files/parameters.yaml" | fromYaml) .Values.prometheusRule.parameters | toYaml -}}
{{- end -}}

{{/* A number as parameters.yaml has it: Helm reads 604800 as 6.048e+05. */}}
{{- define "orcha.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* All groups of rules, as {groups: [...]}, with the parameters put in and without the alerts that nobody wants. */}}
{{- define "orcha.groups" -}}
{{- $root := . -}}
{{- $parameters := include "orcha.parameters" . | fromYaml -}}
{{- $groups := list -}}
{{- range $path := list "files/rules/alerts.yaml" "files/rules/recording.yaml" "files/rules/slo.yaml" -}}
{{- $text := $root.Files.Get $path -}}
{{- range $name, $value := $parameters -}}
{{- if ne $name "disabledAlerts" -}}
{{- $text = $text | replace (printf "<<%s>>" $name) (include "orcha.plain" $value) -}}
{{- end -}}
{{- end -}}
{{- $read := fromYaml $text -}}
{{- if not $read.groups -}}
{{- fail (printf "%s gives no rules (%s); look for a colon or a quote too many in prometheusRule.parameters" $path (default "it is empty: package the chart with helm package" $read.Error)) -}}
{{- end -}}
{{- range $read.groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- if not (has (default "" .alert) $root.Values.prometheusRule.disabledAlerts) -}}{{- $rules = append $rules . -}}{{- end -}}
{{- end -}}
{{- if $rules -}}{{- $groups = append $groups (mergeOverwrite . (dict "rules" $rules)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "groups" $groups | toYaml -}}
{{- end -}}

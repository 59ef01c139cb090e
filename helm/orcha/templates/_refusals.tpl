{{/* Which values make no sense together: one line each, with what would be right. Shapes are values.schema.json's; what is wrong
     within a manifest beyond its shape, the controller says. */}}
{{- define "orcha.refusals" -}}
{{- include "orcha.refusals.sources" . }}
{{- include "orcha.refusals.policies" . }}
{{- include "orcha.refusals.settings" . }}
{{- include "orcha.refusals.state" . }}
{{- include "orcha.refusals.pods" . }}
{{- include "orcha.refusals.fleet" . }}
{{- include "orcha.refusals.monitoring" . }}
{{- end -}}

{{- define "orcha.refusals.sources" -}}
{{- $m := .Values.manifests -}}
{{- $given := list -}}
{{- if $m.nodes }}{{ $given = append $given "manifests.nodes" }}{{ end -}}
{{- if $m.existingConfigMap }}{{ $given = append $given "manifests.existingConfigMap" }}{{ end -}}
{{- if $m.volume }}{{ $given = append $given "manifests.volume" }}{{ end -}}
{{- if $m.gitSync.enabled }}{{ $given = append $given "manifests.gitSync" }}{{ end -}}
{{- if gt (len $given) 1 }}
{{ join " and " $given }} are {{ len $given }} sources of manifests; keep one, and leave the others empty
{{- end }}
{{- $untouched := dict "default" (dict "annotations" dict "labels" dict "spec" (dict "mode" "Suggest")) -}}
{{- if and (ne (include "orcha.source" .) "values") $m.policies (ne (toJson $m.policies) (toJson $untouched)) }}
manifests.policies are given, but nodes come from {{ join ", " $given }} and so must policies; move them there
{{- end }}
{{- if and $m.gitSync.enabled (not $m.gitSync.repository) }}
manifests.gitSync has no repository; write its address, such as https://git.example/me/nodes
{{- end }}
{{- if regexMatch "://[^/@]*:[^/@]*@" $m.gitSync.repository }}
manifests.gitSync.repository holds a password; put it into a Secret and name that in manifests.gitSync.existingSecret
{{- end }}
{{- end -}}

{{/* The controller refuses such policies as well; here it is said before anything is installed. */}}
{{- define "orcha.refusals.policies" -}}
{{- $m := .Values.manifests -}}
{{- if and $m.nodes (eq (include "orcha.source" .) "values") -}}
{{- $owner := dict -}}
{{- $policies := include "orcha.policies" . | fromYaml -}}
{{- range $policy := keys $policies | sortAlpha -}}
{{- $wanted := default dict (default dict (default dict (default dict (get $policies $policy)).spec).selector).matchLabels -}}
{{- $chosen := list -}}
{{- range $name, $node := $m.nodes -}}
{{- $labels := default dict (default dict $node).labels -}}
{{- $fits := true -}}
{{- range $label, $value := $wanted -}}{{- if ne (toString $value) (get $labels $label) -}}{{- $fits = false -}}{{- end -}}{{- end -}}
{{- if $fits -}}{{- $chosen = append $chosen $name -}}{{- end -}}
{{- end -}}
{{- if not $chosen }}
manifests.policies.{{ $policy }} selects no node; label a node so, change its selector, or take it away: {{ $policy }}: null
{{- end }}
{{- range $name := $chosen -}}
{{- if hasKey $owner $name }}
manifests.policies.{{ $policy }} and {{ get $owner $name }} both select node {{ $name }}; make their selectors disjoint, or take one away: {{ get $owner $name }}: null
{{- end }}
{{- $_ := set $owner $name $policy -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "orcha.refusals.settings" -}}
{{- $s := .Values.manifests.settings -}}
{{- $instead := dict "listen" "controller.listen" "exporterListen" "exporter.listen" "logFormat" "controller.logFormat" "lease" "controller.replicas and lease" -}}
{{- range $name, $value := $instead -}}
{{- if hasKey $s $name }}
manifests.settings.{{ $name }} is set by the chart; write {{ $value }} in its place
{{- end }}
{{- end -}}
{{- if and $s.state $s.stateFile }}
manifests.settings has state and stateFile; keep one
{{- end }}
{{- if and .Values.state.existingSecret.name (or $s.state $s.stateFile) }}
state.existingSecret and manifests.settings both say where the state is; keep one
{{- end }}
{{- if and .Values.api.existingSecret.name $s.api }}
api.existingSecret and manifests.settings.api both name tokens; keep one
{{- end }}
{{- end -}}

{{- define "orcha.refusals.state" -}}
{{- if and .Values.controller.enabled (gt (int .Values.controller.replicas) 1) -}}
{{- if eq (include "orcha.state.kind" .) "sqlite" }}
controller.replicas is {{ .Values.controller.replicas }}, and the state is a file that only one Pod may write; name a Secret with the address of a PostgreSQL database in state.existingSecret, or write controller.replicas: 1
{{- end }}
{{- if and (not .Values.rbac.create) (or .Values.serviceAccount.create (not .Values.serviceAccount.name)) }}
controller.replicas is {{ .Values.controller.replicas }}, which needs a Lease, and rbac.create is false, so that nobody gives the rights to it; write rbac.create: true, or name an account that has them in serviceAccount.name with create: false
{{- end }}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) (include "orcha.needsCluster" .) }}
serviceAccount.create is false and no name is given, so that every Pod of the namespace would get orcha's rights; write serviceAccount.name
{{- end }}
{{- end -}}

{{- define "orcha.refusals.pods" -}}
{{- $v := .Values -}}
{{- if regexMatch "^[0-9]" (include "orcha.fullname" .) }}
objects would be called {{ include "orcha.fullname" . }}, and a Service's name begins with a letter; write fullnameOverride, such as orcha-{{ .Release.Name }}
{{- end }}
{{- range $path, $tag := dict "image.tag" $v.image.tag "manifests.gitSync.image.tag" $v.manifests.gitSync.image.tag }}
{{- if eq $tag "latest" }}
{{ $path }} is latest, which is another image every day; name a version, or leave it empty for the chart's own
{{- end }}
{{- end }}
{{- if and (not $v.controller.enabled) (eq $v.exporter.kind "none") (not (include "orcha.relays" .)) }}
controller.enabled is false, exporter.kind is none and fleet has no relays here, so that nothing would run; choose one
{{- end }}
{{- if and (not $v.controller.enabled) (eq $v.exporter.kind "Sidecar") }}
exporter.kind is Sidecar, and there is no controller to stand beside; write exporter.kind: Deployment
{{- end }}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $v.controller.listen }}
controller.listen is {{ $v.controller.listen }}, where neither probes nor Prometheus reach it; write ":9872"
{{- end }}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $v.exporter.listen }}
exporter.listen is {{ $v.exporter.listen }}, where neither probes nor Prometheus reach it; write "0.0.0.0:9871"
{{- end }}
{{- if and (ne $v.exporter.kind "none") (eq (include "orcha.source" .) "values") (not $v.manifests.nodes) }}
exporter.kind is {{ $v.exporter.kind }}, and there is no node to read; declare one in manifests.nodes first
{{- end }}
{{- if and (eq $v.exporter.kind "DaemonSet") (ne (include "orcha.source" .) "values") (not $v.exporter.files) }}
exporter.kind is DaemonSet, and each one reads the file of its own machine; name it in exporter.files, such as ["$(NODE_NAME).yaml"]
{{- end }}
{{- if and (eq $v.exporter.kind "Sidecar") (eq (include "orcha.port" $v.controller.listen) (include "orcha.port" $v.exporter.listen)) }}
controller.listen and exporter.listen have one port, and in one Pod they need two; change one
{{- end }}
{{- $names := list -}}
{{- range $v.secrets -}}{{- $names = append $names .name -}}{{- end -}}
{{- if ne (len $names) (len (uniq $names)) }}
secrets names a Secret twice; keep one of each
{{- end }}
{{- if and $v.podDisruptionBudget.enabled (ne (toString $v.podDisruptionBudget.minAvailable) "") (ne (toString $v.podDisruptionBudget.maxUnavailable) "") }}
podDisruptionBudget has minAvailable and maxUnavailable; keep one
{{- end }}
{{- end -}}

{{- define "orcha.refusals.monitoring" -}}
{{- if .Values.prometheusRule.enabled -}}
{{- $known := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- range regexFindAll "- alert: \\w+" ($.Files.Get $path) -1 -}}{{- $known = append $known (trimPrefix "- alert: " .) -}}{{- end -}}
{{- end -}}
{{- range .Values.prometheusRule.disabledAlerts -}}
{{- if not (has . $known) }}
prometheusRule.disabledAlerts: there is no alert {{ . }}; there are {{ $known | sortAlpha | join ", " }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

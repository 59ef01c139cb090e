{{/* Where manifests come from: existingConfigMap, volume, gitSync, or else values. */}}
{{- define "orcha.source" -}}
{{- $m := .Values.manifests -}}
{{- if $m.existingConfigMap -}}existingConfigMap{{- else if $m.volume -}}volume{{- else if $m.gitSync.enabled -}}gitSync{{- else -}}values{{- end -}}
{{- end -}}

{{/* The directory in which orcha finds nodes and policies. */}}
{{- define "orcha.manifests.path" -}}
{{- $path := .Values.manifests.gitSync.path | trimAll "/" -}}
{{- if ne (include "orcha.source" .) "gitSync" -}}/etc/orcha/manifests
{{- else if $path -}}/etc/orcha/manifests/current/{{ $path }}
{{- else -}}/etc/orcha/manifests/current
{{- end -}}
{{- end -}}

{{/* Where Settings of the chart are, apart from a volume that is not the chart's. */}}
{{- define "orcha.settings.path" -}}/etc/orcha/settings{{- end -}}

{{/* "true" where the chart writes a Settings: always with nodes from values, else only where a value asks for one. */}}
{{- define "orcha.settings.written" -}}
{{- $v := .Values -}}
{{- if or (eq (include "orcha.source" .) "values") $v.manifests.settings $v.api.existingSecret.name $v.state.existingSecret.name (gt (int $v.controller.replicas) 1) -}}
true
{{- end -}}
{{- end -}}

{{/* "true" where the chart has manifests to put into a ConfigMap. */}}
{{- define "orcha.configmap.written" -}}
{{- if or (eq (include "orcha.source" .) "values") (include "orcha.settings.written" .) -}}true{{- end -}}
{{- end -}}

{{/* "sqlite" where the state is a file on the Pod's disk. */}}
{{- define "orcha.state.kind" -}}
{{- $s := .Values.manifests.settings -}}
{{- if or .Values.state.existingSecret.name $s.stateFile (hasPrefix "postgresql:" (default "" $s.state)) -}}other{{- else -}}sqlite{{- end -}}
{{- end -}}

{{/* "true" where several controllers may run, of which the Lease elects one. */}}
{{- define "orcha.elected" -}}
{{- if and .Values.controller.enabled (gt (int .Values.controller.replicas) 1) -}}true{{- end -}}
{{- end -}}

{{- define "orcha.lease.name" -}}
{{- default (include "orcha.fullname" .) .Values.lease.name -}}
{{- end -}}

{{/* The spec of Settings: what the values say, and what the chart knows of its own Pod. */}}
{{- define "orcha.settings" -}}
{{- $spec := deepCopy .Values.manifests.settings -}}
{{- with .Values.state.existingSecret -}}
{{- if .name -}}
{{- $_ := set $spec "stateFile" (printf "/etc/orcha/secrets/%s/%s" .name .key) -}}
{{- end -}}
{{- end -}}
{{- if not (or $spec.state $spec.stateFile) -}}
{{- $_ := set $spec "state" "sqlite:////var/lib/orcha/orcha.db" -}}
{{- end -}}
{{- with .Values.api.existingSecret -}}
{{- if .name -}}
{{- $files := dict -}}
{{- if .readKey -}}{{- $_ := set $files "read" (printf "/etc/orcha/secrets/%s/%s" .name .readKey) -}}{{- end -}}
{{- if .operateKey -}}{{- $_ := set $files "operate" (printf "/etc/orcha/secrets/%s/%s" .name .operateKey) -}}{{- end -}}
{{- $_ := set $spec "api" (dict "tokenFiles" $files) -}}
{{- end -}}
{{- end -}}
{{- if include "orcha.elected" . -}}
{{- $_ := set $spec "lease" (dict "namespace" .Release.Namespace "name" (include "orcha.lease.name" .) "duration" .Values.lease.duration) -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* What the controller and the exporter read at their start only (exporters/settings.py: needing_a_restart). All other Settings,
     nodes and policies take effect in running processes, so that their change must not restart a Pod. */}}
{{- define "orcha.settings.restart" -}}
{{- pick (include "orcha.settings" . | fromYaml)
  "listen" "exporterListen" "state" "stateFile" "retention" "prometheusUrl" "alertmanagerUrl" "grafanaUrl" "source" "prometheus"
  "api" "lease" "logFormat" | toJson -}}
{{- end -}}

{{/* YAML reads Off as false; it is a mode. */}}
{{- define "orcha.mode" -}}
{{- if kindIs "bool" . -}}Off{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The policies of the values. One that is null was taken away. */}}
{{- define "orcha.policies" -}}
{{- $found := dict -}}
{{- range $name, $policy := .Values.manifests.policies -}}
{{- if not (kindIs "invalid" $policy) -}}{{- $_ := set $found $name $policy -}}{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The mode of a policy of the values. */}}
{{- define "orcha.policy.mode" -}}
{{- $spec := default dict (default dict .).spec -}}
{{- if hasKey $spec "mode" -}}{{ include "orcha.mode" $spec.mode }}{{- else -}}Suggest{{- end -}}
{{- end -}}

{{/* One manifest. Takes kind, name, value: {labels, annotations, spec}. */}}
{{- define "orcha.manifest" -}}
{{- $value := default (dict) .value -}}
{{- $spec := deepCopy (default (dict) $value.spec) -}}
{{- if hasKey $spec "mode" -}}{{- $_ := set $spec "mode" (include "orcha.mode" $spec.mode) -}}{{- end -}}
{{- range $spec.workloads -}}
{{- if hasKey . "mode" -}}{{- $_ := set . "mode" (include "orcha.mode" .mode) -}}{{- end -}}
{{- end -}}
{{- $metadata := dict "name" .name -}}
{{- with $value.labels -}}{{- $_ := set $metadata "labels" . -}}{{- end -}}
{{- with $value.annotations -}}{{- $_ := set $metadata "annotations" . -}}{{- end -}}
{{- dict "apiVersion" "orcha.dev/v1alpha1" "kind" .kind "metadata" $metadata "spec" $spec | toYaml -}}
{{- end -}}

{{/* Arguments that name the manifests. Takes root, files: those of them that are wanted, and fleet: whether the Fleet is. */}}
{{- define "orcha.args.manifests" -}}
{{- $path := include "orcha.manifests.path" .root -}}
{{- range default (list "") .files }}
- {{ empty . | ternary $path (printf "%s/%s" $path .) | printf "--manifests=%s" | quote }}
{{- end }}
{{- if include "orcha.settings.apart" .root }}
- --manifests={{ include "orcha.settings.path" .root }}
{{- else if and .files (include "orcha.settings.written" .root) }}
- --manifests={{ $path }}/orcha-settings.yaml
{{- end }}
{{- if .fleet }}
- --manifests={{ include "orcha.fleet.path" .root }}
{{- end }}
{{- end -}}

{{/* "true" where the chart's Settings cannot lie beside the manifests. */}}
{{- define "orcha.settings.apart" -}}
{{- if and (include "orcha.settings.written" .) (has (include "orcha.source" .) (list "volume" "gitSync")) -}}true{{- end -}}
{{- end -}}

{{/* The volumes of manifests and Secrets. Takes root, and state: whether the Pod needs that Secret. Secrets are readable by the Pod's
     group and nobody else: orcha warns of those that everybody may read. */}}
{{- define "orcha.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{ include "orcha.volumes.manifests" .root }}
{{- range $i, $secret := (include "orcha.secrets" . | fromYaml).items }}
- name: secret-{{ $i }}
  secret:
    secretName: {{ .name | quote }}
    defaultMode: 0440
    {{- if .optional }}
    optional: true
    {{- end }}
    {{- with .keys }}
    items:
      {{- range . }}
      - {key: {{ . | quote }}, path: {{ . | quote }}}
      {{- end }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* The volume of the manifests, and that of Settings where it is another. */}}
{{- define "orcha.volumes.manifests" -}}
{{- $own := printf "%s-manifests" (include "orcha.fullname" .) -}}
{{- $source := include "orcha.source" . -}}
- name: manifests
{{- if eq $source "values" }}
  configMap: {name: {{ $own | quote }}}
{{- else if eq $source "existingConfigMap" }}
  projected:
    sources:
      - configMap: {name: {{ .Values.manifests.existingConfigMap | quote }}}
      {{- if include "orcha.settings.written" . }}
      - configMap: {name: {{ $own | quote }}}
      {{- end }}
{{- else if eq $source "volume" }}
  {{- toYaml .Values.manifests.volume | nindent 2 }}
{{- else }}
  emptyDir: {sizeLimit: 256Mi}
{{- end }}
{{- if include "orcha.settings.apart" . }}
- name: settings
  configMap: {name: {{ $own | quote }}}
{{- end }}
{{- if eq $source "gitSync" }}
- name: git-tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .Values.manifests.gitSync.existingSecret }}
- name: git-secret
  secret: {secretName: {{ . | quote }}, defaultMode: 0400}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where manifests and Secrets are in a container. Takes root, and state: whether it needs that Secret. */}}
{{- define "orcha.mounts" -}}
- {name: manifests, mountPath: /etc/orcha/manifests, readOnly: true}
{{- if include "orcha.settings.apart" .root }}
- {name: settings, mountPath: {{ include "orcha.settings.path" .root }}, readOnly: true}
{{- end }}
{{- range $i, $secret := (include "orcha.secrets" . | fromYaml).items }}
- {name: secret-{{ $i }}, mountPath: {{ printf "/etc/orcha/secrets/%s" .name | quote }}, readOnly: true}
{{- end }}
{{- end -}}

{{/* What a Pod sees of Secrets, as {items: [{name, optional, keys}]}; no keys: all. Takes root, and state: whether it needs that one. */}}
{{- define "orcha.secrets" -}}
{{- $found := dict -}}
{{- range .root.Values.secrets -}}
{{- $_ := set $found .name (dict "name" .name "optional" (default false .optional) "keys" list) -}}
{{- end -}}
{{- $wanted := list -}}
{{- with .root.Values.api.existingSecret -}}
{{- if .name -}}
{{- $wanted = append $wanted (dict "name" .name "keys" (compact (list .readKey .operateKey))) -}}
{{- end -}}
{{- end -}}
{{- with .root.Values.state.existingSecret -}}
{{- if and .name $.state -}}{{- $wanted = append $wanted (dict "name" .name "keys" (list .key)) -}}{{- end -}}
{{- end -}}
{{- if $.state -}}{{- $wanted = concat $wanted (include "orcha.fleet.secret" .root | fromYaml).items -}}{{- end -}}
{{- range $wanted -}}
{{- $before := get $found .name -}}
{{- if not $before -}}
{{- $_ := set $found .name (dict "name" .name "optional" false "keys" .keys) -}}
{{- else if $before.keys -}}
{{- $_ := set $before "keys" (concat $before.keys .keys | uniq) -}}
{{- end -}}
{{- end -}}
{{- $items := list -}}
{{- range keys $found | sortAlpha -}}{{- $items = append $items (get $found .) -}}{{- end -}}
{{- dict "items" $items | toYaml -}}
{{- end -}}

{{/* Secrets of which the nodes or Settings in the values name a file, and which no Pod gets, as {items: [...]}. */}}
{{- define "orcha.secrets.missing" -}}
{{- $there := list -}}
{{- range (include "orcha.secrets" (dict "root" . "state" true) | fromYaml).items -}}{{- $there = append $there .name -}}{{- end -}}
{{- $more := list .Values.controller.extraVolumeMounts .Values.exporter.extraVolumeMounts | toJson -}}
{{- $items := list -}}
{{- range regexFindAll "\"/etc/orcha/secrets/[^/\"]+/" (list .Values.manifests.nodes .Values.manifests.settings | toJson) -1 | uniq -}}
{{- $name := . | trimPrefix "\"/etc/orcha/secrets/" | trimSuffix "/" -}}
{{- $other := regexMatch (printf "\"/etc/orcha/secrets(/%s[/\"]|/?\")" (regexQuoteMeta $name)) $more -}}
{{- if not (or $other (has $name $there)) -}}{{- $items = append $items $name -}}{{- end -}}
{{- end -}}
{{- dict "items" $items | toYaml -}}
{{- end -}}

{{/* What both containers have besides: the probes and what the values add. Takes values: controller or exporter. */}}
{{- define "orcha.container.rest" -}}
{{- with .values.livenessProbe }}
livenessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.readinessProbe }}
readinessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.startupProbe }}
startupProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  {{- toYaml .values.securityContext | nindent 2 }}
{{- with .values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where Pods may run, and who they are to the node. Takes values. */}}
{{- define "orcha.pod.rest" -}}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* Labels and annotations of a Pod. Takes root, component, values, and annotations: the chart's own. */}}
{{- define "orcha.pod.metadata" -}}
labels:
  {{- include "orcha.podLabels" (dict "root" .root "component" .component "labels" .values.podLabels) | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations .values.podAnnotations (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The objects that orcha may change, as {items: [{kind, namespace, name, ordinals, resize}]}, each once, in order: what actuators of
     nodes in the values name, and rbac.targets, which win. ordinals: how many Pods of a StatefulSet may be evicted to take back a
     failed change; 0: any, since orcha sets their number. resize: whether running Pods may have to be resized in place. */}}
{{- define "orcha.targets" -}}
{{- $found := dict -}}
{{- if eq (include "orcha.source" .) "values" -}}
{{- range $node := .Values.manifests.nodes -}}
{{- range $workload := (default (dict) (default (dict) $node).spec).workloads -}}
{{- with (default (dict) $workload.actuator).kubernetes -}}
{{- $key := printf "%s/%s/%s" .namespace .kind .name -}}
{{- $before := default (dict "resize" false "ordinals" 1) (get $found $key) -}}
{{- $ordinals := ternary 0 1 (or (not (empty .replicas)) (eq (int $before.ordinals) 0)) -}}
{{- $resize := or $before.resize (and (gt (len (default (list) .resources)) 0) (not .env) (not .args)) -}}
{{- $_ := set $found $key (dict "kind" .kind "namespace" .namespace "name" .name "ordinals" $ordinals "resize" $resize) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.rbac.targets -}}
{{- $key := printf "%s/%s/%s" .namespace .kind .name -}}
{{- $ordinals := int (default 1 .replicas) -}}
{{- $_ := set $found $key (dict "kind" .kind "namespace" .namespace "name" .name "ordinals" $ordinals "resize" (default false .resize)) -}}
{{- end -}}
{{- $items := list -}}
{{- range keys $found | sortAlpha -}}{{- $items = append $items (get $found .) -}}{{- end -}}
{{- dict "items" $items | toYaml -}}
{{- end -}}

{{/* The namespaces of these objects, as {items: [...]}. */}}
{{- define "orcha.targets.namespaces" -}}
{{- $names := list -}}
{{- range (include "orcha.targets" . | fromYaml).items -}}{{- $names = append $names .namespace -}}{{- end -}}
{{- dict "items" ($names | uniq | sortAlpha) | toYaml -}}
{{- end -}}

{{/* Names of those objects that are of a kind, as {items: [...]}. Takes items and kind. */}}
{{- define "orcha.targets.named" -}}
{{- $kind := .kind -}}
{{- $names := list -}}
{{- range .items -}}{{- if eq .kind $kind -}}{{- $names = append $names .name -}}{{- end -}}{{- end -}}
{{- dict "items" $names | toYaml -}}
{{- end -}}

{{/* The Pods of StatefulSets that may be evicted, as {items: [...], any: whether they cannot be named}. Takes items. */}}
{{- define "orcha.targets.evicted" -}}
{{- $names := list -}}
{{- $any := false -}}
{{- range $target := .items -}}
{{- if eq $target.kind "StatefulSet" -}}
{{- if eq (int $target.ordinals) 0 -}}{{- $any = true -}}{{- end -}}
{{- range $i := until (int $target.ordinals) -}}{{- $names = append $names (printf "%s-%d" $target.name $i) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "items" $names "any" $any | toYaml -}}
{{- end -}}

{{/* The rules of a Role for these objects of one namespace, line by line those of docs/kubernetes.md. Takes items. */}}
{{- define "orcha.rules" -}}
{{- $sets := (include "orcha.targets.named" (dict "items" .items "kind" "StatefulSet") | fromYaml).items -}}
{{- $deployments := (include "orcha.targets.named" (dict "items" .items "kind" "Deployment") | fromYaml).items -}}
{{- $pods := (include "orcha.targets.named" (dict "items" .items "kind" "Pod") | fromYaml).items -}}
{{- $evicted := include "orcha.targets.evicted" . | fromYaml -}}
{{- $resized := false -}}
{{- range .items -}}{{- if and (eq .kind "StatefulSet") .resize -}}{{- $resized = true -}}{{- end -}}{{- end -}}
{{- with $sets }}
- {apiGroups: [apps], resources: [statefulsets], resourceNames: {{ toJson . }}, verbs: [get, patch]}
{{- end }}
{{- with $deployments }}
- {apiGroups: [apps], resources: [deployments], resourceNames: {{ toJson . }}, verbs: [get, patch]}
{{- end }}
{{- with $pods }}
- {apiGroups: [""], resources: [pods], resourceNames: {{ toJson . }}, verbs: [get, patch]}
- {apiGroups: [""], resources: [pods/resize], resourceNames: {{ toJson . }}, verbs: [patch]}
{{- end }}
{{- if or $sets $deployments }}
- {apiGroups: [""], resources: [pods], verbs: [list]}
{{- end }}
{{- if $evicted.any }}
# orcha sets how many Pods there are, so that they cannot be named.
- {apiGroups: [""], resources: [pods/eviction], verbs: [create]}
{{- else if $evicted.items }}
- {apiGroups: [""], resources: [pods/eviction], resourceNames: {{ toJson $evicted.items }}, verbs: [create]}
{{- end }}
{{- if $resized }}
- {apiGroups: [""], resources: [pods/resize], verbs: [patch]}
{{- end }}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
{{- if or $sets $deployments }}
- {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [list]}
- {apiGroups: [autoscaling.k8s.io], resources: [verticalpodautoscalers], verbs: [list]}
{{- end }}
{{- end -}}

{{/* The name of a Role for changes in a namespace. In another one than the release's, two releases may meet. Takes root and namespace. */}}
{{- define "orcha.role.name" -}}
{{- $full := include "orcha.fullname" .root -}}
{{- if eq .namespace .root.Release.Namespace -}}
{{- printf "%s-changes" $full -}}
{{- else -}}
{{- printf "%s-%s-changes" .root.Release.Namespace $full | trunc 253 -}}
{{- end -}}
{{- end -}}

{{/* "true" where the controller needs the cluster, and so a token for it. */}}
{{- define "orcha.needsCluster" -}}
{{- if and .Values.controller.enabled (or (include "orcha.targets" . | fromYaml).items .Values.rbac.extraRules (include "orcha.elected" .)) -}}true{{- end -}}
{{- end -}}

{{/* "true" or "false": whether the controller's Pod gets a token. */}}
{{- define "orcha.automount" -}}
{{- $said := toString .Values.serviceAccount.automount -}}
{{- if eq $said "auto" -}}{{ include "orcha.needsCluster" . | default "false" }}{{- else -}}{{ $said }}{{- end -}}
{{- end -}}

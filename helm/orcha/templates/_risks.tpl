{{/* The strictest that is certain of what the policies may do: "acts" where one is Approve or Auto, "unknown" where they are elsewhere. */}}
{{- define "orcha.modes" -}}
{{- if ne (include "orcha.source" .) "values" -}}unknown
{{- else -}}
{{- range $policy := include "orcha.policies" . | fromYaml -}}
{{- if has (include "orcha.policy.mode" $policy) (list "Approve" "Auto") -}}acts {{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" unless it is certain that nothing will be planned: with nodes, and no policy in another mode than Off. */}}
{{- define "orcha.plans" -}}
{{- $modes := list -}}
{{- range $policy := include "orcha.policies" . | fromYaml -}}{{- $modes = append $modes (include "orcha.policy.mode" $policy) -}}{{- end -}}
{{- if or (ne (include "orcha.source" .) "values") (not .Values.manifests.nodes) (without $modes "Off") -}}true{{- end -}}
{{- end -}}

{{/* Values that work together and that somebody may regret, one line each. */}}
{{- define "orcha.risks" -}}
{{- $v := .Values -}}
{{- if $v.controller.enabled -}}
{{- $acts := include "orcha.modes" . | trim -}}
{{- $sqlite := eq (include "orcha.state.kind" .) "sqlite" -}}
{{- if and $sqlite (not $v.state.persistence.enabled) $acts (ne $acts "unknown") }}
  * A policy may change nodes, and the state ends with the Pod: after a restart nobody knows what was changed and how to take it back.
    Write state.persistence.enabled: true.
{{- else if and $sqlite (not $v.state.persistence.enabled) }}
  * The state ends with the Pod: after each restart it takes two hours until something is planned. Write state.persistence.enabled: true.
{{- end }}
{{- if and $acts (not $v.api.existingSecret.name) (not $v.manifests.settings.api) (ne $acts "unknown") }}
  * A policy may change nodes, and without api.existingSecret nobody can pause it or take a change back but by the policy's mode.
    Name a Secret with tokens.
{{- end }}
{{- if and (has $v.service.type (list "NodePort" "LoadBalancer")) }}
  * The Service is a {{ $v.service.type }}, and orcha speaks plain HTTP: tokens and earnings are readable on the way. Put TLS in front.
{{- end }}
{{- if and $v.podDisruptionBudget.enabled (eq (int $v.controller.replicas) 1) (or (eq (toString $v.podDisruptionBudget.minAvailable) "1") (eq (toString $v.podDisruptionBudget.maxUnavailable) "0")) }}
  * The PodDisruptionBudget lets the only replica never go: draining its machine waits for ever.
{{- end }}
{{- if and (include "orcha.targets" . | fromYaml).items (not $v.rbac.create) }}
  * A workload's actuator is kubernetes, and rbac.create is false: give {{ include "orcha.serviceAccountName" . }} the rights of docs/kubernetes.md.
{{- end }}
{{- end -}}
{{- range (include "orcha.secrets.missing" . | fromYaml).items }}
  * A manifest names a file in /etc/orcha/secrets/{{ . }}, and no Secret is there: it is not read. Write secrets: [{name: {{ . }}}].
{{- end }}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled }}
  * serviceMonitor and podMonitor are both on: everything is scraped twice. Keep one.
{{- end }}
{{- if and $v.networkPolicy.enabled $v.fleet.enabled (not $v.networkPolicy.egress.nats.to) (not $v.networkPolicy.egress.extra) }}
  * The NetworkPolicy lets no agent of the fleet reach NATS: name where the servers are in networkPolicy.egress.nats.to.
{{- end }}
{{- if and (include "orcha.relays" .) (not $v.fleet.relays.persistence.enabled) }}
  * What relays know ends with their Pods: write fleet.relays.persistence.enabled: true.
{{- end }}
{{- if and $v.networkPolicy.enabled $v.controller.enabled (not $v.networkPolicy.egress.nodes) (not $v.networkPolicy.egress.extra) }}
  * The NetworkPolicy lets orcha reach no node: name where they answer in networkPolicy.egress.nodes.
{{- end }}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.ingress.from) }}
  * The NetworkPolicy lets nobody read the metrics: name Prometheus' namespace in networkPolicy.ingress.from.
{{- end }}
{{- end -}}

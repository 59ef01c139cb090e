{{/* What the relays of this release are called, and their Service: "-relay" and a number find room in 63. */}}
{{- define "orcha.relay.name" -}}
{{- printf "%s-relay" (include "orcha.fullname" .) -}}
{{- end -}}

{{/* "true" where relays run in this release. */}}
{{- define "orcha.relays" -}}
{{- if and .Values.fleet.enabled (gt (int .Values.fleet.relays.replicas) 0) -}}true{{- end -}}
{{- end -}}

{{/* The names of all relays, here and elsewhere, as {items: [...]}; sorted, so that they are the same in every release. */}}
{{- define "orcha.relay.names" -}}
{{- $f := .Values.fleet -}}
{{- $names := $f.relays.elsewhere -}}
{{- range $number := until (int $f.relays.replicas) -}}
{{- $names = append $names (printf "%s-%d" (include "orcha.relay.name" $) $number) -}}
{{- end -}}
{{- dict "items" ($names | sortAlpha) | toYaml -}}
{{- end -}}

{{- define "orcha.fleet.path" -}}/etc/orcha/fleet{{- end -}}

{{/* The spec of the Fleet. */}}
{{- define "orcha.fleet" -}}
{{- $f := .Values.fleet -}}
{{- $spec := dict "sites" $f.sites "topology" $f.topology "heartbeat" $f.heartbeat "timeout" $f.timeout "sync" $f.sync "limits" $f.limits -}}
{{- $_ := set $spec "irreversibleAtOnce" $f.irreversibleAtOnce -}}
{{- with (include "orcha.relay.names" . | fromYaml).items -}}{{- $_ := set $spec "relays" . -}}{{- end -}}
{{- if $f.nats.servers -}}
{{- $nats := dict "servers" $f.nats.servers -}}
{{- with $f.nats.existingSecret -}}
{{- if .name -}}
{{- $folder := printf "/etc/orcha/secrets/%s" .name -}}
{{- if .tokenKey -}}{{- $_ := set $nats "tokenFile" (printf "%s/%s" $folder .tokenKey) -}}{{- end -}}
{{- if .credentialsKey -}}{{- $_ := set $nats "credentialsFile" (printf "%s/%s" $folder .credentialsKey) -}}{{- end -}}
{{- if .caKey -}}{{- $_ := set $nats "caFile" (printf "%s/%s" $folder .caKey) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $spec "nats" $nats -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* What an agent reads at its start only: all but limits (controller/fleet/site.py: Site.replace). */}}
{{- define "orcha.fleet.restart" -}}
{{- omit (include "orcha.fleet" . | fromYaml) "limits" "irreversibleAtOnce" | toJson -}}
{{- end -}}

{{/* The Secret for the NATS servers, as {items: [{name, keys}]}: none, or one. */}}
{{- define "orcha.fleet.secret" -}}
{{- $items := list -}}
{{- with .Values.fleet -}}
{{- if and .enabled .nats.existingSecret.name -}}
{{- with .nats.existingSecret -}}
{{- $items = append $items (dict "name" .name "keys" (compact (list .tokenKey .credentialsKey .caKey) | uniq)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "items" $items | toYaml -}}
{{- end -}}

{{/* Which values of a fleet make no sense together. */}}
{{- define "orcha.refusals.fleet" -}}
{{- $f := .Values.fleet -}}
{{- if $f.enabled -}}
{{- include "orcha.refusals.fleet.names" . }}
{{- include "orcha.refusals.fleet.nats" . }}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $f.relays.listen }}
fleet.relays.listen is {{ $f.relays.listen }}, where neither probes nor Prometheus reach it; write "0.0.0.0:9873"
{{- end }}
{{- else if $f.site }}
fleet.site is {{ $f.site }}, and fleet.enabled is false; write fleet.enabled: true, or leave the site empty
{{- else if gt (int $f.relays.replicas) 0 }}
fleet.relays.replicas is {{ $f.relays.replicas }}, and fleet.enabled is false; write fleet.enabled: true, or relays.replicas: 0
{{- end -}}
{{- end -}}

{{- define "orcha.refusals.fleet.names" -}}
{{- $f := .Values.fleet -}}
{{- $sites := join ", " $f.sites -}}
{{- $relays := (include "orcha.relay.names" . | fromYaml).items -}}
{{- $agents := concat $f.sites $relays -}}
{{- $count := len $agents -}}
{{- if not $f.sites }}
fleet.sites is empty; name every site of the fleet, the same in each release
{{- else if and $f.site (not (has $f.site $f.sites)) }}
fleet.site is {{ $f.site }}, which is not among fleet.sites; there are {{ $sites }}
{{- else if and $f.site (not .Values.controller.enabled) }}
fleet.site is {{ $f.site }}, and a site is its controller, which controller.enabled: false takes away; leave the site empty for relays only
{{- else if and .Values.controller.enabled (not $f.site) }}
fleet.site is empty, and this release has a controller; say which of {{ $sites }} it is, or write controller.enabled: false for relays only
{{- end }}
{{- range $name := $agents | uniq | sortAlpha -}}
{{- $times := 0 -}}
{{- range $agents -}}{{- if eq . $name -}}{{- $times = add1 $times -}}{{- end -}}{{- end -}}
{{- if gt (int $times) 1 }}
{{ $name }} stands {{ $times }} times among fleet.sites, fleet.relays.elsewhere and the relays of this release; each has a name of its own
{{- end -}}
{{- end -}}
{{- range $relays -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" .) }}
relay {{ . }}: a relay is called as its Pod is, and may have lower case letters, digits and "-" only; write another fullnameOverride
{{- end -}}
{{- end -}}
{{- if and (eq $f.topology "sierpinski9") (ne $count 9) }}
fleet.topology is sierpinski9, which has 9 agents, and sites and relays together are {{ $count }}; write auto
{{- end }}
{{- if and (eq $f.topology "sierpinski") (not (has $count (list 3 9 27 81 243))) }}
fleet.topology is sierpinski, which has 3, 9, 27, 81 ... agents, and sites and relays together are {{ $count }}; write auto
{{- end }}
{{- end -}}

{{- define "orcha.refusals.fleet.nats" -}}
{{- $n := .Values.fleet.nats -}}
{{- $count := len (concat .Values.fleet.sites (include "orcha.relay.names" . | fromYaml).items) -}}
{{- if and (gt $count 1) (not $n.servers) }}
fleet.nats.servers is empty, and {{ $count }} agents need servers to reach each other by; write their addresses, such as [tls://nats.example:4222]
{{- end }}
{{- range $n.servers -}}
{{- if regexMatch "://[^/]*@" . }}
fleet.nats.servers holds a password or a token; put it into a Secret and name that in fleet.nats.existingSecret
{{- end -}}
{{- end -}}
{{- with $n.existingSecret -}}
{{- $keys := compact (list .tokenKey .credentialsKey .caKey) -}}
{{- if and .name (not $keys) }}
fleet.nats.existingSecret is {{ .name }}, and none of its keys is named; write tokenKey, credentialsKey or caKey
{{- else if and $keys (not .name) }}
fleet.nats.existingSecret names the keys {{ join ", " $keys }} and no Secret; write its name
{{- end -}}
{{- if and .tokenKey .credentialsKey }}
fleet.nats.existingSecret has tokenKey and credentialsKey; keep the one that the servers want
{{- end -}}
{{- end -}}
{{- end -}}

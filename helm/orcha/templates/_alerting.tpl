{{/* Matchers of alertmanager.yml, such as severity="critical", as AlertmanagerConfig has them; as {items: [...]}. */}}
{{- define "orcha.matchers" -}}
{{- $items := list -}}
{{- range . -}}
{{- $parts := regexFindAll "^[a-zA-Z_][a-zA-Z0-9_]*|(=~|!~|!=|=)|\".*\"$" . 3 -}}
{{- $items = append $items (dict "name" (index $parts 0) "matchType" (index $parts 1) "value" (index $parts 2 | trimAll "\"")) -}}
{{- end -}}
{{- dict "items" $items | toYaml -}}
{{- end -}}

{{/* A route of alertmanager.yml, with those below it, as AlertmanagerConfig has it. */}}
{{- define "orcha.route" -}}
{{- $route := dict -}}
{{- $words := dict "receiver" "receiver" "continue" "continue" "group_by" "groupBy" "group_wait" "groupWait" "group_interval" "groupInterval" "repeat_interval" "repeatInterval" -}}
{{- range $name, $value := . -}}
{{- if hasKey $words $name -}}
{{- $_ := set $route (get $words $name) $value -}}
{{- else if eq $name "matchers" -}}
{{- $_ := set $route "matchers" (include "orcha.matchers" $value | fromYaml).items -}}
{{- else if eq $name "routes" -}}
{{- $below := list -}}
{{- range $value -}}{{- $below = append $below (include "orcha.route" . | fromYaml) -}}{{- end -}}
{{- $_ := set $route "routes" $below -}}
{{- else -}}
{{- fail (printf "files/alertmanager.yml has a route with %s, which this chart cannot write as an AlertmanagerConfig; teach templates/_alerting.tpl" $name) -}}
{{- end -}}
{{- end -}}
{{- toYaml $route -}}
{{- end -}}

{{/* The spec of an AlertmanagerConfig: alertmanager.yml with the receivers that values name. */}}
{{- define "orcha.alerting" -}}
{{- $given := .Values.alertmanagerConfig -}}
{{- $file := .Files.Get "files/alertmanager.yml" | fromYaml -}}
{{- $receivers := list -}}
{{- range $file.receivers -}}
{{- $receivers = append $receivers (mergeOverwrite (dict "name" .name) (default (dict) (get $given.receivers .name))) -}}
{{- end -}}
{{- $rules := list -}}
{{- range $file.inhibit_rules -}}
{{- $rules = append $rules (dict
  "sourceMatch" (include "orcha.matchers" .source_matchers | fromYaml).items
  "targetMatch" (include "orcha.matchers" .target_matchers | fromYaml).items
  "equal" .equal
) -}}
{{- end -}}
{{- $route := $given.route -}}
{{- if not $route -}}{{- $route = include "orcha.route" $file.route | fromYaml -}}{{- end -}}
{{- /* A bare = is a word of its own to some readers of YAML. */ -}}
{{- dict "route" $route "receivers" $receivers "inhibitRules" $rules | toYaml | replace "matchType: =\n" "matchType: \"=\"\n" -}}
{{- end -}}

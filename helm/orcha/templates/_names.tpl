{{/* The name of the application, for the label that every object has. */}}
{{- define "orcha.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What objects are called. 40 characters at most, so that "-exporter" and a dashboard's name find room in 63. */}}
{{- define "orcha.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "orcha.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "orcha.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that never change while a release lives: a selector cannot. Takes root and component. */}}
{{- define "orcha.selectorLabels" -}}
app.kubernetes.io/name: {{ include "orcha.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of a Pod. Not the chart's version: where nothing else changed, an upgrade of the chart restarts nobody. Takes root and
     component, and labels: more of them. */}}
{{- define "orcha.podLabels" -}}
{{- $about := dict
  "app.kubernetes.io/version" (.root.Chart.AppVersion | toString)
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" (include "orcha.name" .root)
-}}
{{- mergeOverwrite (dict) .root.Values.commonLabels (default dict .labels) $about (include "orcha.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* All labels of an object. As above. */}}
{{- define "orcha.labels" -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- mergeOverwrite (include "orcha.podLabels" . | fromYaml) (dict "helm.sh/chart" $chart) | toYaml -}}
{{- end -}}

{{/* What stands under an object's metadata. Takes root, component and name, and namespace, labels, annotations where there are some. */}}
{{- define "orcha.metadata" -}}
name: {{ .name | quote }}
namespace: {{ default .root.Release.Namespace .namespace | quote }}
labels:
  {{- include "orcha.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "orcha.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "orcha.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* repository:tag, or repository@digest, which wins. Takes image, and tag: the one where the image names none. */}}
{{- define "orcha.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The number at the end of HOST:PORT. */}}
{{- define "orcha.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

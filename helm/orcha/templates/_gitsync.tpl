{{/* Keeps the manifests volume at a commit: `current` is a link to a whole checkout, swapped in one step. Takes root, and once:
     whether it ends after the first one. */}}
{{- define "orcha.gitsync" -}}
{{- $git := .root.Values.manifests.gitSync -}}
{{- $ssh := or (hasPrefix "ssh:" $git.repository) (not (contains "://" $git.repository)) -}}
- name: git-sync{{ if .once }}-first{{ end }}
  image: {{ include "orcha.image" (dict "image" $git.image "tag" "") }}
  imagePullPolicy: {{ $git.image.pullPolicy }}
  args:
    - {{ printf "--repo=%s" $git.repository | quote }}
    - {{ printf "--ref=%s" $git.ref | quote }}
    - --root=/git
    - --link=current
    {{- if .once }}
    - --one-time
    {{- else }}
    - --period={{ $git.period }}
    - --max-failures=-1
    {{- end }}
    {{- if and $git.existingSecret $ssh }}
    - --ssh-key-file=/etc/git-secret/ssh
    - --ssh-known-hosts-file=/etc/git-secret/known_hosts
    {{- else if $git.existingSecret }}
    - --password-file=/etc/git-secret/password
    {{- end }}
    {{- range $git.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    - {name: HOME, value: /tmp}
    {{- if and $git.existingSecret (not $ssh) }}
    - name: GITSYNC_USERNAME
      valueFrom: {secretKeyRef: {name: {{ $git.existingSecret | quote }}, key: username}}
    {{- end }}
  volumeMounts:
    - {name: manifests, mountPath: /git}
    - {name: git-tmp, mountPath: /tmp}
    {{- if $git.existingSecret }}
    - {name: git-secret, mountPath: /etc/git-secret, readOnly: true}
    {{- end }}
  resources:
    {{- toYaml $git.resources | nindent 4 }}
  securityContext:
    {{- toYaml $git.securityContext | nindent 4 }}
{{- end -}}

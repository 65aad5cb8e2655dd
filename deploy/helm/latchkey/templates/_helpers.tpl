{{- define "latchkey.reference" -}}
- group: gateway.networking.k8s.io
  kind: {{ .kind }}
  name: {{ .name | quote }}
{{- with .listener }}
  sectionName: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "latchkey.labels" -}}
{{- range splitList "," . }}
{{- $label := splitn "=" 2 . }}
{{ $label._0 | quote }}: {{ required "a label of target is LABEL=VALUE" $label._1 | quote }}
{{- end }}
{{- end -}}

{{- define "latchkey.rbac" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
rules:
  action: ALLOW
  policies:
    latchkey-allowed:
      permissions: [{any: true}]
      principals: [{filter_state: {key: wasm.latchkey, string_match: {prefix: "allow "}}}]
{{- end -}}

{{- define "latchkey.policy" -}}
{{- $policy := required "policy is needed: --set-file policy=policy.json" .Values.policy | fromJson }}
{{- with $policy.Error }}{{ fail (printf "policy is not JSON: %s" .) }}{{ end }}
{{- if $policy.sessions }}{{ fail "the chart does not render what verifies sessions: use `latchkey render`" }}{{ end }}
{{- trim .Values.policy }}
{{- end -}}

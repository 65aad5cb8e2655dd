{{- /* The policy, as text. */ -}}
{{- define "latchkey.policy" -}}
{{- $policy := required "policy is needed: --set-file policy=policy.json" .Values.policy | fromJson }}
{{- with $policy.Error }}{{ fail (printf "policy is not JSON: %s" .) }}{{ end }}
{{- $module := .Values.module }}
{{- range $policy.rules }}
{{- if and (not $module) (eq (dig "graphql" "hold" "body" .) "headers") }}
{{- fail "a rule of the policy has graphql.hold headers, which takes a switch of Envoy's that these resources do not have: write body" }}
{{- end }}
{{- end }}
{{- trim .Values.policy }}
{{- end -}}

{{- /* What the native module is called, by its file; empty for the Wasm filter. */ -}}
{{- define "latchkey.module" -}}
{{- with .Values.module }}
{{- if not (hasPrefix "/" .) }}{{ fail "module is a path in the proxy's container: it must be absolute" }}{{ end }}
{{- $name := base . | trimPrefix "lib" | trimSuffix ".so" | lower }}
{{- regexReplaceAll "[^a-z0-9.]" $name "-" | trimAll "-." | required "module names no file" }}
{{- end }}
{{- end -}}

{{- /* Where claims lie for Latchkey; empty for a policy without sessions. */ -}}
{{- define "latchkey.payload" -}}
{{- $policy := .Values.policy | fromJson }}
{{- $own := .Values.sessions }}
{{- with $policy.sessions }}
{{- if not (and $own.issuer $own.jwks) }}{{ fail "the policy has sessions, which need sessions.issuer and sessions.jwks" }}{{ end }}
{{- .payload }}
{{- else }}
{{- if or $own.issuer $own.jwks $own.audience }}{{ fail "sessions is for a policy with sessions, and this has none" }}{{ end }}
{{- end }}
{{- end -}}

{{- /* The issuer's keys as JSON; empty where they are fetched. */ -}}
{{- define "latchkey.jwks" -}}
{{- if not (contains "://" .Values.sessions.jwks) }}
{{- $jwks := fromJson .Values.sessions.jwks }}
{{- if not $jwks.keys }}{{ fail "sessions.jwks is neither a URL nor a JWKS with a list keys" }}{{ end }}
{{- toRawJson $jwks }}
{{- else if not (regexMatch "^https?://[^/:]" .Values.sessions.jwks) }}
{{- fail "sessions.jwks is the content of a file or an https:// URL" }}
{{- end }}
{{- end -}}

{{- /* yes where the mesh is of that version or newer: a list of the root, the newest that was tested, and the version. */ -}}
{{- define "latchkey.since" -}}
{{- $version := (index . 0).Values.meshVersion | default (index . 1) }}
{{- if not (kindIs "string" $version) }}{{ fail "meshVersion must be in quotes" }}{{ end }}
{{- if not (regexMatch "^v?[0-9]+[.][0-9]+([.-]|$)" $version) }}{{ fail "meshVersion is not a version such as 1.27" }}{{ end }}
{{- if semverCompare (printf ">=%s" (index . 2)) (regexFind "[0-9]+[.][0-9]+" $version) }}yes{{ end }}
{{- end -}}

{{- /* A DNS subdomain, as resources are called. */ -}}
{{- define "latchkey.subdomain" -}}
[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*
{{- end -}}

{{- /* The only item of targetRefs. */ -}}
{{- define "latchkey.reference" -}}
{{- $pattern := printf "^%s$" (include "latchkey.subdomain" .) }}
{{- range list .name (.listener | default "a") }}
{{- if not (regexMatch $pattern .) }}{{ fail (printf "target names %s, and no resource is called so" (quote .)) }}{{ end }}
{{- end }}
- group: gateway.networking.k8s.io
  kind: {{ .kind }}
  name: {{ .name | quote }}
{{- with .listener }}
  sectionName: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "latchkey.labels" -}}
{{- $value := "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?" }}
{{- $pattern := printf "^(%s/)?%s=%s$" (include "latchkey.subdomain" .) $value $value }}
{{- $names := list }}
{{- range splitList "," . }}
{{- if not (regexMatch $pattern .) }}{{ fail "a label of target is LABEL=VALUE" }}{{ end }}
{{- $label := splitn "=" 2 . }}
{{- if has $label._0 $names }}{{ fail (printf "target names the label %s twice" (quote $label._0)) }}{{ end }}
{{- $names = append $names $label._0 }}
{{ $label._0 | quote }}: {{ $label._1 | quote }}
{{- end }}
{{- end -}}

{{- /* The guard as a filter. */ -}}
{{- define "latchkey.rbac" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
rules_stat_prefix: latchkey_guard.
rules:
  action: ALLOW
  policies:
    latchkey-allowed:
      permissions: [{any: true}]
      principals: [{filter_state: {key: wasm.latchkey, string_match: {prefix: "allow "}}}]
{{- end -}}

{{- /* The usual ways to write the scheme. */ -}}
{{- define "latchkey.prefixes" -}}
- "Bearer "
- "bearer "
- "BEARER "
{{- end -}}

{{- /* What verifies sessions, as a filter. */ -}}
{{- define "latchkey.jwt_authn" -}}
{{- $own := .Values.sessions -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
providers:
  sessions:
    issuer: {{ $own.issuer | quote }}
{{- with $own.audience }}
    audiences: [{{ quote . }}]
{{- end }}
    require_expiration: true
{{- with include "latchkey.jwks" . }}
    local_jwks: {inline_string: {{ quote . }}}
{{- else }}
    remote_jwks:
      http_uri: {uri: {{ $own.jwks | quote }}, cluster: latchkey-jwks, timeout: 5s}
      cache_duration: 300s
      async_fetch: {}
{{- end }}
    payload_in_metadata: {{ include "latchkey.payload" . | quote }}
    from_headers:
{{- range include "latchkey.prefixes" . | fromYamlArray }}
    - {name: {{ $own.header | lower | quote }}, value_prefix: {{ quote . }}}
{{- end }}
    forward: true
rules:
- match: {prefix: "/"}
  requires:
    requires_any:
      requirements:
      - provider_name: sessions
      - allow_missing_or_failed: {}
{{- end -}}

{{- /* Where the issuer's keys are fetched from, as a cluster. */ -}}
{{- define "latchkey.jwks_cluster" -}}
{{- $url := urlParse .Values.sessions.jwks }}
{{- $encrypted := eq $url.scheme "https" }}
{{- $port := regexFind ":[0-9]+$" $url.host }}
{{- $host := trimSuffix $port $url.host | quote -}}
name: latchkey-jwks
type: LOGICAL_DNS
connect_timeout: 5s
load_assignment:
  cluster_name: latchkey-jwks
  endpoints:
  - lb_endpoints:
    - endpoint:
        address:
          socket_address:
            address: {{ $host }}
            port_value: {{ trimPrefix ":" $port | default (ternary "443" "80" $encrypted) }}
{{- if $encrypted }}
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {{ $host }}
    common_tls_context:
      validation_context:
        trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}
        match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: {{ $host }}}}]
{{- end }}
{{- end -}}

{{- /* What verifies sessions, in the spec of a SecurityPolicy. */ -}}
{{- define "latchkey.jwt" -}}
{{- $own := .Values.sessions -}}
jwt:
  failOpen: true
  providers:
  - name: {{ include "latchkey.payload" . | quote }}
    issuer: {{ $own.issuer | quote }}
{{- with $own.audience }}
    audiences: [{{ quote . }}]
{{- end }}
{{- with include "latchkey.jwks" . }}
    localJWKS:
      type: Inline
      inline: {{ quote . }}
{{- else }}
    remoteJWKS:
      uri: {{ $own.jwks | quote }}
{{- end }}
    extractFrom:
      headers:
{{- range include "latchkey.prefixes" . | fromYamlArray }}
      - name: {{ $own.header | lower | quote }}
        valuePrefix: {{ quote . }}
{{- end }}
{{- end -}}

{{- /* The guard, in the spec of a SecurityPolicy. */ -}}
{{- define "latchkey.rule" -}}
authorization:
  defaultAction: Deny
  rules:
  - name: latchkey-allowed
    action: Allow
    cel: "filter_state['wasm.latchkey'] >= b'allow ' && filter_state['wasm.latchkey'] < b'allow!'"
{{- end -}}

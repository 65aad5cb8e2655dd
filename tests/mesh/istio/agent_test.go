package istio

import (
	"context"
	"os"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/envoy"
	istioagent "istio.io/istio/pkg/istio-agent"
	"istio.io/istio/pkg/security"
	"istio.io/istio/pkg/util/sets"
	"istio.io/istio/pkg/wasm"
)

// TestAgent is Istio's agent, without the Envoy that it would start: it stands between the pilot and a proxy, and fetches
// modules. It serves until it is killed. The environment says where:
//
//	PILOT_XDS  the address of the pilot's xDS
//	AGENT_XDS  the socket of its own
func TestAgent(t *testing.T) {
	socket := os.Getenv("AGENT_XDS")
	if socket == "" {
		t.Skip("AGENT_XDS says where to serve")
	}
	own := mesh.DefaultProxyConfig()
	own.DiscoveryAddress = os.Getenv("PILOT_XDS")
	own.ControlPlaneAuthPolicy = meshconfig.AuthenticationPolicy_NONE
	options := &istioagent.AgentOptions{
		DisableEnvoy: true,
		XdsUdsPath:   socket,
		// The usual one; nothing serves there.
		WorkloadIdentitySocketFile: security.DefaultWorkloadIdentitySocketFile,
		WASMOptions: wasm.Options{
			// The registry of the test has no certificate.
			InsecureRegistries:    sets.New("*"),
			HTTPRequestTimeout:    wasm.DefaultHTTPRequestTimeout,
			HTTPRequestMaxRetries: wasm.DefaultHTTPRequestMaxRetries,
		},
	}
	agent := istioagent.NewAgent(own, options, &security.Options{ServeOnlyFiles: true}, envoy.ProxyConfig{})
	wait, err := agent.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	wait()
}

package istio

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"testing"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/envoy"
	istioagent "istio.io/istio/pkg/istio-agent"
	"istio.io/istio/pkg/security"
	"istio.io/istio/pkg/util/sets"
	"istio.io/istio/pkg/wasm"
	"istio.io/istio/security/pkg/nodeagent/cache"
	"istio.io/istio/security/pkg/nodeagent/sds"
)

// TestAgent is Istio's agent, without the Envoy that it would start: it stands between the pilot and a proxy, and fetches
// modules. It serves until it is killed. The environment says where:
//
//	PILOT_XDS  the address of the pilot's xDS
//	AGENT_XDS  the socket of its own
//	IDENTITY   for a proxy that has a certificate: for whom it is
func TestAgent(t *testing.T) {
	socket := os.Getenv("AGENT_XDS")
	if socket == "" {
		t.Skip("AGENT_XDS says where to serve")
	}
	if identity := os.Getenv("IDENTITY"); identity != "" {
		serveCertificate(t, identity)
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

// serveCertificate makes a certificate that vouches for itself, in the folder identity, and hands it to the proxy as the agent
// does with those of Istio's authority.
func serveCertificate(t *testing.T, identity string) {
	name, err := url.Parse(identity)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		URIs:                  []*url.URL{name},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("identity", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "identity/certificate.pem", "CERTIFICATE", certificate)
	write(t, "identity/key.pem", "PRIVATE KEY", private)
	options := &security.Options{
		FileMountedCerts:  true,
		CertChainFilePath: "identity/certificate.pem",
		RootCertFilePath:  "identity/certificate.pem",
		KeyFilePath:       "identity/key.pem",
	}
	manager, err := cache.NewSecretManagerClient(nil, options)
	if err != nil {
		t.Fatal(err)
	}
	sds.NewServer(options, manager, nil)
}

func write(t *testing.T, name, kind string, bytes []byte) {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Package istio runs Istio's pilot, the real one, over stores in memory.
package istio

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
)

// TestPilot serves until it is sent SIGTERM. The environment says where:
//
//	PILOT_XDS         the address of its xDS
//	PILOT_API         the address of what stands in for the Kubernetes API: see [api]
//	PILOT_KUBERNETES  a file with Services and resources of the Gateway API, divided by lines of ---
//	PILOT_CONFIG      a file with all other resources
func TestPilot(t *testing.T) {
	address := os.Getenv("PILOT_XDS")
	if address == "" {
		t.Skip("PILOT_XDS says where to serve")
	}
	own := mesh.DefaultMeshConfig()
	// Else clusters wait for certificates.
	own.EnableAutoMtls.Value = false
	pilot := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		KubernetesObjectString: read(t, "PILOT_KUBERNETES"),
		ConfigString:           read(t, "PILOT_CONFIG"),
		MeshConfig:             own,
		// As istiod waits: what is applied together is pushed together.
		DebounceTime:    100 * time.Millisecond,
		ListenerBuilder: func() (net.Listener, error) { return net.Listen("tcp", address) },
	})
	listener, err := net.Listen("tcp", os.Getenv("PILOT_API"))
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(listener, api(pilot))
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	// Without a farewell to its proxies, as when a node is lost.
	os.Exit(0)
}

func read(t *testing.T, variable string) string {
	text, err := os.ReadFile(os.Getenv(variable))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// api answers 204 to PUT and DELETE of YAML documents, 422 with the reason where Istio's validation refuses one, and to
// GET /waypoint/NAMESPACE/IP with the listeners of the waypoint there.
func api(pilot *xds.FakeDiscoveryServer) http.Handler {
	mux := http.NewServeMux()
	each := func(act func(config.Config) error) http.HandlerFunc {
		return func(response http.ResponseWriter, request *http.Request) {
			body, err := io.ReadAll(request.Body)
			if err == nil {
				var configs []config.Config
				configs, _, err = crd.ParseInputs(string(body))
				for index := 0; err == nil && index < len(configs); index++ {
					err = act(configs[index])
				}
			}
			if err != nil {
				http.Error(response, err.Error(), http.StatusUnprocessableEntity)
				return
			}
			response.WriteHeader(http.StatusNoContent)
		}
	}
	mux.HandleFunc("PUT /", each(func(own config.Config) error {
		if old := pilot.Store().Get(own.GroupVersionKind, own.Name, own.Namespace); old != nil {
			own.ResourceVersion = old.ResourceVersion
			_, err := pilot.Store().Update(own)
			return err
		}
		_, err := pilot.Store().Create(own)
		return err
	}))
	mux.HandleFunc("DELETE /", each(func(own config.Config) error {
		return pilot.Store().Delete(own.GroupVersionKind, own.Name, own.Namespace, nil)
	}))
	mux.HandleFunc("GET /waypoint/{namespace}/{ip}", func(response http.ResponseWriter, request *http.Request) {
		proxy := pilot.SetupProxy(&model.Proxy{
			Type:            model.Waypoint,
			ConfigNamespace: request.PathValue("namespace"),
			IPAddresses:     []string{request.PathValue("ip")},
			Labels:          map[string]string{"gateway.networking.k8s.io/gateway-name": request.URL.Query().Get("gateway")},
			Metadata: &model.NodeMetadata{
				Namespace:    request.PathValue("namespace"),
				IstioVersion: "1.31.0",
				Labels:       map[string]string{"gateway.networking.k8s.io/gateway-name": request.URL.Query().Get("gateway")},
			},
		})
		var all []json.RawMessage
		for _, one := range pilot.Listeners(proxy) {
			text, err := protojson.Marshal(one)
			if err != nil {
				http.Error(response, err.Error(), http.StatusInternalServerError)
				return
			}
			all = append(all, text)
		}
		json.NewEncoder(response).Encode(all)
	})
	return mux
}

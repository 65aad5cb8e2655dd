// Package crds holds resources against the custom resource definitions in tests/mesh/crds: their schema, and their CEL
// rules, as an API server would.
package crds

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// schemas has what each version of each kind must be, by `GROUP/VERSION KIND`.
func schemas(t *testing.T) map[string]*apiextensions.JSONSchemaProps {
	files, err := filepath.Glob("../../crds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no definitions: ", err)
	}
	found := map[string]*apiextensions.JSONSchemaProps{}
	for _, file := range files {
		for _, document := range documents(t, file) {
			definition := &v1.CustomResourceDefinition{}
			if err := yaml.Unmarshal([]byte(document), definition); err != nil {
				t.Fatal(file, err)
			}
			for _, version := range definition.Spec.Versions {
				internal := &apiextensions.JSONSchemaProps{}
				if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, internal, nil); err != nil {
					t.Fatal(file, err)
				}
				found[definition.Spec.Group+"/"+version.Name+" "+definition.Spec.Names.Kind] = internal
			}
		}
	}
	return found
}

func documents(t *testing.T, file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, document := range strings.Split("\n"+string(text), "\n---\n") {
		if strings.TrimSpace(document) != "" {
			found = append(found, document)
		}
	}
	return found
}

// mistakes says what a definition has against a resource.
func mistakes(t *testing.T, schema *apiextensions.JSONSchemaProps, resource map[string]any) []string {
	own, err := structural.NewStructural(schema)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	// What the definition does not know would be dropped without a word.
	for _, unknown := range pruning.PruneWithOptions(resource, own, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		found = append(found, "unknown field "+unknown)
	}
	validator, _, err := validation.NewSchemaValidator(schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, mistake := range validation.ValidateCustomResource(nil, resource, validator) {
		found = append(found, mistake.Error())
	}
	if rules := cel.NewValidator(own, true, celconfig.PerCallLimit); rules != nil {
		all, _ := rules.Validate(context.Background(), field.NewPath(""), own, resource, nil, celconfig.RuntimeCELCostBudget)
		for _, mistake := range all {
			found = append(found, mistake.Error())
		}
	}
	return found
}

func check(t *testing.T, all map[string]*apiextensions.JSONSchemaProps, document string) []string {
	resource := map[string]any{}
	if err := yaml.Unmarshal([]byte(document), &resource); err != nil {
		t.Fatal(err)
	}
	kind := resource["apiVersion"].(string) + " " + resource["kind"].(string)
	schema, ok := all[kind]
	if !ok {
		t.Fatal("no definition of ", kind)
	}
	return mistakes(t, schema, resource)
}

// TestRendered takes each file of the folder that RENDERED names.
func TestRendered(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(os.Getenv("RENDERED"), "*.yaml"))
	if len(files) == 0 {
		t.Skip("RENDERED names no folder with resources")
	}
	all := schemas(t)
	for _, file := range files {
		for _, document := range documents(t, file) {
			for _, mistake := range check(t, all, document) {
				t.Errorf("%s: %s", filepath.Base(file), mistake)
			}
		}
	}
	t.Logf("%d files", len(files))
}

// TestMistakes sees that each way to check can fail.
func TestMistakes(t *testing.T) {
	all := schemas(t)
	for name, document := range map[string]string{
		"an unknown field": `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
spec: {url: oci://x, nothing: 1}`,
		"a value of another type": `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
spec: {url: oci://x, phase: SOMETIME}`,
		"a CEL rule": `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: eg}]`,
	} {
		if len(check(t, all, document)) == 0 {
			t.Errorf("%s passes", name)
		}
	}
}

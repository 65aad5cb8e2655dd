// Documents on graph-gophers/graphql-go. It shows no syntax tree, so a document that does not validate says nothing.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/graph-gophers/graphql-go"
	"github.com/graph-gophers/graphql-go/errors"
	"github.com/graph-gophers/graphql-go/introspection"
	"github.com/graph-gophers/graphql-go/trace/tracer"
)

var (
	ran   []string
	mutex sync.Mutex
)

func record(name string) {
	mutex.Lock()
	defer mutex.Unlock()
	ran = append(ran, name)
}

type input struct {
	S *string
	L *[]*string
	O *input
}

type arguments struct {
	S *string
	L *[]*string
	I *int32
	F *float64
	B *bool
	O *input
	E *string
}

// A type says by itself where it stands: prefix is "" at the root of a query, "mutation." or, below, ".".
type query struct{ prefix string }

func (of query) record(name string, isComposite bool) {
	if of.prefix != "." || isComposite {
		record(of.prefix + name)
	}
}

func (of query) composite(name string) *item {
	of.record(name, true)
	return &item{}
}

func (of query) plain(name string) *string {
	of.record(name, false)
	return &name
}

func (of query) Ok(arguments) *item        { return of.composite("ok") }
func (of query) Ok2(arguments) *string     { return of.plain("ok2") }
func (of query) Secret(arguments) *item    { return of.composite("secret") }
func (of query) Secret2(arguments) *string { return of.plain("secret2") }
func (of query) Q() *query                 { of.record("q", true); return &query{"."} }

type item struct{}

func (item) ID() *graphql.ID        { return nil }
func (item) Name() *string          { return nil }
func (item) Ok(arguments) *item     { return query{"."}.composite("ok") }
func (item) Secret(arguments) *item { return query{"."}.composite("secret") }
func (item) Q() *query              { return query{"."}.Q() }

type root struct{}

func (root) Query() *query    { return &query{""} }
func (root) Mutation() *query { return &query{"mutation."} }

// Introspection has no resolvers, but the tracer sees it.
type recorder struct{}

func (recorder) TraceQuery(ctx context.Context, _, _ string, _ map[string]any, _ map[string]*introspection.Type) (context.Context, tracer.QueryFinishFunc) {
	return ctx, func([]*errors.QueryError) {}
}

func (recorder) TraceField(ctx context.Context, _, _, name string, _ bool, _ map[string]any) (context.Context, tracer.FieldFinishFunc) {
	if name == "__schema" || name == "__type" {
		record(name)
	}
	return ctx, func(*errors.QueryError) {}
}

func main() {
	text, err := os.ReadFile("../schema.graphql")
	if err != nil {
		log.Fatal(err)
	}
	schema := graphql.MustParseSchema(string(text), &root{}, graphql.MaxParallelism(1), graphql.Tracer(recorder{}))
	http.HandleFunc("/documents", func(writer http.ResponseWriter, request *http.Request) {
		var documents []struct{ Query, OperationName string }
		if err := json.NewDecoder(request.Body).Decode(&documents); err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		answers := make([]string, len(documents))
		for i, asked := range documents {
			ran = []string{"ran"}
			response := schema.Exec(request.Context(), asked.Query, asked.OperationName, nil)
			if len(ran) > 1 || len(response.Errors) == 0 {
				answers[i] = strings.Join(ran, " ")
			}
		}
		json.NewEncoder(writer).Encode(answers)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

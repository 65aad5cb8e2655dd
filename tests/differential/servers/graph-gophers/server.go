// Documents on graph-gophers/graphql-go. It shows no syntax tree, so a document that does not validate says nothing.
package main

import (
	"context"
	"log"
	"os"
	"strings"

	"github.com/graph-gophers/graphql-go"
	"github.com/graph-gophers/graphql-go/errors"
	"github.com/graph-gophers/graphql-go/introspection"
	"github.com/graph-gophers/graphql-go/relay"
	"github.com/graph-gophers/graphql-go/trace/tracer"

	"latchkey/documents"
)

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

// A type says by itself where it stands.
type query struct {
	kind   string
	isRoot bool
}

func (of query) record(name string, isComposite bool) {
	documents.Record(of.kind, name, of.isRoot, isComposite)
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
func (of query) Q() *query                 { of.record("q", true); return &query{"Query", false} }

type item struct{}

func (item) ID() *graphql.ID        { return nil }
func (item) Name() *string          { return nil }
func (item) Ok(arguments) *item     { return query{"Item", false}.composite("ok") }
func (item) Secret(arguments) *item { return query{"Item", false}.composite("secret") }
func (item) Q() *query              { return query{"Item", false}.Q() }

type root struct{}

func (root) Query() *query    { return &query{"Query", true} }
func (root) Mutation() *query { return &query{"Mutation", true} }

// Introspection has no resolvers, but the tracer sees it.
type recorder struct{}

func (recorder) TraceQuery(ctx context.Context, _, _ string, _ map[string]any, _ map[string]*introspection.Type) (context.Context, tracer.QueryFinishFunc) {
	return ctx, func([]*errors.QueryError) {}
}

func (recorder) TraceField(ctx context.Context, _, _, name string, _ bool, _ map[string]any) (context.Context, tracer.FieldFinishFunc) {
	if strings.HasPrefix(name, "__") {
		documents.Record("", name, false, false)
	}
	return ctx, func(*errors.QueryError) {}
}

func main() {
	text, err := os.ReadFile("../schema.graphql")
	if err != nil {
		log.Fatal(err)
	}
	schema := graphql.MustParseSchema(string(text), &root{}, graphql.MaxParallelism(1), graphql.Tracer(recorder{}))
	judge := func(asked documents.Document) string {
		response := schema.Exec(context.Background(), asked.Query, asked.OperationName, nil)
		ran := documents.Ran()
		if len(ran) == 0 && len(response.Errors) > 0 {
			return ""
		}
		return documents.Said("ran", ran)
	}
	documents.Serve(judge, &relay.Handler{Schema: schema})
}

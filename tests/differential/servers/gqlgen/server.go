// Documents on gqlgen.
package main

import (
	"context"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"differential/generated"
	"differential/model"

	"latchkey/documents"
)

// No resolver of gqlgen's own is called: each field is answered here, but `q`, for which it asks nobody.
func resolve(ctx context.Context, next graphql.Resolver) (any, error) {
	field := graphql.GetFieldContext(ctx)
	isOfSchema := strings.HasPrefix(field.Object, "__")
	if !isOfSchema {
		// The root has a context of its own, and so has `Query` below the root.
		isRoot := true
		for parent := field.Parent; parent != nil; parent = parent.Parent {
			isRoot = isRoot && parent.Field.Field == nil
		}
		documents.Record(field.Object, field.Field.Name, isRoot, len(field.Field.Selections) > 0)
	}
	if isOfSchema || strings.HasPrefix(field.Field.Name, "__") {
		return next(ctx)
	}
	text := "x"
	switch field.Field.Definition.Type.Name() {
	case "Item":
		return &model.Item{}, nil
	case "Query":
		return &model.Query{}, nil
	default:
		return &text, nil
	}
}

// The fields that stand in the operation, for a document that does not validate.
func read(tree *ast.QueryDocument, operationName string) (found []string) {
	var collect func(set ast.SelectionSet, kind string, isRoot bool, spread []string)
	collect = func(set ast.SelectionSet, kind string, isRoot bool, spread []string) {
		for _, selection := range set {
			switch selection := selection.(type) {
			case *ast.Field:
				found = append(found, documents.Label(kind, selection.Name, isRoot, len(selection.SelectionSet) > 0)...)
				collect(selection.SelectionSet, kind, false, spread)
			case *ast.InlineFragment:
				collect(selection.SelectionSet, kind, isRoot, spread)
			case *ast.FragmentSpread:
				fragment := tree.Fragments.ForName(selection.Name)
				isOpen := fragment != nil
				for _, name := range spread {
					isOpen = isOpen && name != selection.Name
				}
				if isOpen {
					collect(fragment.SelectionSet, kind, isRoot, append(spread[:len(spread):len(spread)], selection.Name))
				}
			}
		}
	}
	for _, operation := range tree.Operations {
		if operationName != "" && operation.Name != operationName {
			continue
		}
		kind := "Query"
		if operation.Operation == ast.Mutation {
			kind = "Mutation"
		}
		collect(operation.SelectionSet, kind, true, nil)
	}
	return found
}

func main() {
	schema := generated.NewExecutableSchema(generated.Config{})
	engine := executor.New(schema)
	engine.Use(extension.Introspection{})
	engine.AroundFields(resolve)
	judge := func(asked documents.Document) string {
		ctx := graphql.StartOperationTrace(context.Background())
		parameters := &graphql.RawParams{Query: asked.Query, OperationName: asked.OperationName}
		operation, errors := engine.CreateOperationContext(ctx, parameters)
		if errors != nil {
			tree, err := parser.ParseQuery(&ast.Source{Input: asked.Query})
			if err != nil {
				return ""
			}
			return documents.Said("read", read(tree, asked.OperationName))
		}
		respond, ctx := engine.DispatchOperation(ctx, operation)
		respond(ctx)
		return documents.Said("ran", documents.Ran())
	}
	layer := handler.New(schema)
	layer.AroundFields(resolve)
	layer.Use(extension.Introspection{})
	for _, one := range []graphql.Transport{
		transport.Options{}, transport.GET{}, transport.POST{}, transport.MultipartForm{}, transport.UrlEncodedForm{}, transport.GRAPHQL{},
	} {
		layer.AddTransport(one)
	}
	documents.Serve(judge, layer)
}
